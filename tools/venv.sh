#!/usr/bin/env bash
# Makes build/venv with what the Python tests import, and prints the interpreter to use.
# OFFLINE=1: whatever is there already; the official SDKs are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/venv
if [ -n "${OFFLINE:-}" ]; then
  for python in "$venv/bin/python" python3 /usr/bin/python3; do
    if "$python" -c 'import pytest' 2>/dev/null; then echo "$python"; exit 0; fi
  done
  echo "venv: OFFLINE=1 and no Python here has pytest (apt-get install python3-pytest)" >&2
  exit 1
fi
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" >&2
lists=()
for list in tests/requirements.txt tests/sdk/requirements.txt; do [ ! -f "$list" ] || lists+=(-r "$list"); done
stamp=$(cat tests/requirements.txt tests/sdk/requirements.txt 2>/dev/null | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ]; then
  "$venv/bin/python" -m pip install -q --disable-pip-version-check pytest "${lists[@]}" >&2
  echo "$stamp" >"$venv/.stamp"
fi
echo "$venv/bin/python"
