#!/usr/bin/env bash
# Runs every benchmark the house has: the Google Benchmark binaries, then the gateway beside nginx, schemas beside Ajv, tokenizers beside npm's, jobs and flows beside their peers.
set -euo pipefail
cd "$(dirname "$0")/.."
found=
for binary in build/release/bench/bench_*; do
  [ -x "$binary" ] && [ -f "$binary" ] || continue
  found=1
  echo "== ${binary##*/}"
  "$binary" --benchmark_min_time=0.5
done
failed=
for run in bench/*/run; do
  [ -x "$run" ] || continue
  found=1
  "$run" || failed=1
done
[ -n "$found" ] || { echo "bench: nothing built" >&2; exit 1; }
[ -z "$failed" ]
