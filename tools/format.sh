#!/usr/bin/env bash
# Formatting, as .clang-format says. `tools/format.sh` names files that differ (a note, not a failure: layout by hand may
# be the more readable one); `tools/format.sh --fix FILE…` rewrites the files named.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v clang-format-19 >/dev/null; then echo "format: clang-format-19 is not here; make deps"; exit 0; fi
if [ "${1:-}" = --fix ]; then shift; exec clang-format-19 -i "$@"; fi
count=0
while IFS= read -r file; do
  clang-format-19 --dry-run -Werror "$file" 2>/dev/null || count=$((count + 1))
done < <(git ls-files 'src/*.hpp' 'src/*.cpp' 'tests/*.cpp' 'bench/*.cpp')
echo "format: $count files differ from .clang-format"
