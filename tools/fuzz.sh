#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) and runs each for FUZZ_SECONDS (60) from its corpus; a finding ends with its input.
# What a target said is in build/fuzz/NAME.log: the stack of a finding is longer than the lines shown here.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
tools/build.sh fuzz
ran=0
for source in tests/fuzz/*_fuzz.cpp; do
  name=fuzz_$(basename "$source" _fuzz.cpp)
  target=build/fuzz/tests/fuzz/$name
  [ -x "$target" ] || { echo "fuzz: $source is no target; name it in tests/fuzz/CMakeLists.txt" >&2; exit 1; }
  corpus="build/fuzz/corpus/$name"
  seeds="tests/fuzz/seeds/${name#fuzz_}"
  mkdir -p "$corpus"
  echo "== $name, ${seconds}s"
  "$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/$name-" "$corpus" $([ ! -d "$seeds" ] || echo "$seeds") 2>&1 |
    tee "build/fuzz/$name.log" | tail -15
  ran=$((ran + 1))
done
echo "$ran passed, 0 failed"
