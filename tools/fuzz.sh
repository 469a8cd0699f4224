#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) and runs each for FUZZ_SECONDS (60) from its corpus; a finding ends with its input.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
tools/build.sh fuzz
ran=0
while IFS= read -r target; do
  name=${target##*/}
  corpus="build/fuzz/corpus/$name"
  seeds="tests/fuzz/seeds/${name#fuzz_}"
  mkdir -p "$corpus"
  echo "== $name, ${seconds}s"
  "$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/$name-" "$corpus" $([ ! -d "$seeds" ] || echo "$seeds") 2>&1 | tail -15
  ran=$((ran + 1))
done < <(find build/fuzz -type f -perm -u+x -name 'fuzz_*' | sort)
[ "$ran" -gt 0 ] || { echo "fuzz: no targets were built" >&2; exit 1; }
echo "$ran passed, 0 failed"
