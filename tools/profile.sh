#!/usr/bin/env bash
# Makes cmake/ballast.profdata, by which releases are optimised: builds a binary that counts what runs, lets it do what the benchmarks
# do (calls, streams, jobs and flows, on both databases), and merges the counts. Run it before a release, and after work on the hot road.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/build.sh profile ballast
counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT
export LLVM_PROFILE_FILE="$counts/%p-%m.profraw" BALLAST_BIN="$PWD/build/profile/src/ballast"
bench/gateway/run --quick --cases direct,ballast --only throughput,latency,streams --out "$counts/gateway.json" >/dev/null
# Its goals are of a release: what this slow binary misses is no failure, but to have measured nothing of a database is.
bench/work/run --quick --cases ballast --only noop,latency,flow --out "$counts/work.json" >/dev/null || true
for database in sqlite postgres; do
  grep -q "\"ballast $database\"" "$counts/work.json" || { echo "profile: nothing was measured on $database" >&2; exit 1; }
done
llvm-profdata-19 merge --sparse -o cmake/ballast.profdata "$counts"/*.profraw
ls -l cmake/ballast.profdata
