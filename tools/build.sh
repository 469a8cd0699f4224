#!/usr/bin/env bash
# tools/build.sh PRESET [TARGET…]: configure when needed, then build with as many jobs as there are cores.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:?preset}
shift
tools/ranks.sh
tools/ui.sh
export CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-$(nproc)}
if [ ! -f "build/$preset/build.ninja" ]; then
  mkdir -p build
  cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 || { cat "build/configure-$preset.log" >&2; exit 1; }
fi
targets=()
[ $# -eq 0 ] || targets=(--target "$@")
exec cmake --build "build/$preset" "${targets[@]}"
