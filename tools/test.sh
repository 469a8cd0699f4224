#!/usr/bin/env bash
# `make test`: every stage runs even if an earlier one failed; the last line adds them up.
#   ONLY="unit asan e2e" picks stages; OFFLINE=1 leaves out what needs npm and PyPI; WORKERS=4 is how many end-to-end tests run at once.
set -uo pipefail
cd "$(dirname "$0")/.."
stages=${ONLY:-tools unit asan e2e}
mkdir -p build/logs
passed=0 failed=0 skipped=0
broken=() told=

add() { passed=$((passed + ${1:-0})); failed=$((failed + ${2:-0})); skipped=$((skipped + ${3:-0})); }
say() { printf '\n== %s (%s)\n' "$1" "$(date -u +%H:%M:%S)"; }
number() { grep -oE "[0-9]+ $1" <<<"$2" | tail -1 | cut -d' ' -f1; }

tally() {  # label, exit code, log: what its last line says
  local last
  last=$(tail -1 "$3")
  add "$(number passed "$last")" "$(number failed "$last")" "$(number skipped "$last")"
  add 0 "$(number 'errors?' "$last")"
  [ "$2" -eq 0 ] || broken+=("$1")
  told+="$(awk '/^(FAILED|ERROR) / { on = 1; print; next } on && /^    / { print; next } { on = 0 }' "$3")"$'\n'
}

run_unit() {  # label, arguments
  local label=$1 log="build/logs/unit-$1.log"
  shift
  "$python" tests/support/postgres.py "$python" tools/run_unit.py "build/$label" "$@" 2>&1 | tee "$log"
  tally "$label" "${PIPESTATUS[0]}" "$log"
}

run_pytest() {  # label, arguments
  local label=$1 log="build/logs/pytest-$1.log"
  shift
  "$python" -m pytest -q -p no:cacheprovider "$@" 2>&1 | tee "$log"
  tally "$label" "${PIPESTATUS[0]}" "$log"
}

python=$(tools/venv.sh) || { echo "no Python environment for the tests" >&2; exit 1; }
python=$(command -v "$python")

for stage in $stages; do
  case $stage in
    tools)
      say "tools: their own tests"
      run_pytest tools tools -c /dev/null --rootdir tools ;;
    unit)
      # Optimised: the floors that compute, or EXTENDED all. What stands above them is tested so end to end, and by the sanitizers' build.
      say "release build and its tests"
      rooms=(base net store tokens schema classify) targets=(src/all bench/all)
      [ -z "${EXTENDED:-}" ] || rooms=() targets=()
      if tools/build.sh release "${targets[@]}" "${rooms[@]/#/test_}"; then run_unit release "${rooms[@]/#/--room=}"; else broken+=(build); fi ;;
    asan)
      say "AddressSanitizer and UndefinedBehaviorSanitizer on the unit tests"
      export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
      if tools/build.sh asan; then run_unit asan; else broken+=(asan-build); fi ;;
    e2e)
      say "end to end: real sockets, real processes${OFFLINE:+ (OFFLINE: without the SDKs)}"
      suites=(tests/e2e)
      [ -n "${OFFLINE:-}" ] || [ ! -d tests/sdk ] || suites+=(tests/sdk)
      # A test mostly waits, so several processes share them out. Long runs measure, and have the machine to themselves.
      at_once=() browsers=()
      [ -n "${EXTENDED:-}" ] || ! "$python" -c 'import xdist' 2>/dev/null || { at_once=(-n "${WORKERS:-4}"); browsers=(-n 2); }
      run_pytest e2e -c tests/pytest.ini "${at_once[@]}" "${suites[@]}" ${EXTENDED:+--extended}
      # Apart from the others: what drives the browser keeps an event loop of its own in the test's thread.
      say "the dashboard in a real browser"
      run_pytest ui -c tests/pytest.ini "${browsers[@]}" tests/ui ${EXTENDED:+--extended} ;;
    *) echo "no such stage: $stage" >&2; exit 2 ;;
  esac
done

echo
grep . <<<"$told"                            # what failed, once more, where it is seen
[ ${#broken[@]} -eq 0 ] || echo "failed in: ${broken[*]} (logs in build/logs)"
[ ${#broken[@]} -eq 0 ] || [ "$failed" -gt 0 ] || failed=${#broken[@]}
echo "$passed passed, $failed failed, $skipped skipped"
[ ${#broken[@]} -eq 0 ]
