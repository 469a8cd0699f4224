#!/usr/bin/env bash
# `make extended`: what is too long for every change. ThreadSanitizer on the unit tests, the whole end-to-end suite with
# its long runs, the durable road's jobs and runs killed 500 times each on both databases, rolling up killed 100 times, then ten minutes of
# importing and rolling up, the traffic traces through the alerts, and FUZZ_SECONDS (60) of each fuzz target.
set -uo pipefail
cd "$(dirname "$0")/.."
rc=0
echo "== ThreadSanitizer"
if tools/build.sh tsan; then
  # The crash tests fork and start threads in the child, which ThreadSanitizer refuses unless told otherwise.
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0 \
    python3 tests/support/postgres.py python3 tools/run_unit.py build/tsan || rc=1
else
  rc=1
fi
EXTENDED=1 RUN_KILLS=200 tools/test.sh || rc=1
echo "== durable work, killed 500 times each"
BALLAST_KILLS=500 BALLAST_SIM_STEPS=20000000 BALLAST_LONG_MAPS=1 \
  build/release/tests/test_work --gtest_filter='*WorkKill.*:*RunKill.*:WorkBoardSim.*:*WorkMaps.*' || rc=1
echo "== a quota over 200 nodes, 40 seeds of each case"
BALLAST_SIM_SEEDS=40 build/release/tests/test_cluster --gtest_filter='*QuotaSim*NeverExceeded*:QuotaSimMoney.*' || rc=1
echo "== rolling up, killed 100 times on each database"
BALLAST_KILLS=100 build/release/tests/test_records --gtest_filter='*RollupCrash.*' || rc=1
echo "== ten minutes of 5,000 records a second, imported and rolled up: in time, and in the same memory"
build/release/bench/bench_records_rollup soak sqlite "${SOAK_SECONDS:-600}" 5000 || rc=1
echo "== alerts over the traffic traces: every call of three days, and each fault"
traces=../shared/data/traffic-traces
if [ -d "$traces" ]; then
  replay() { build/release/bench/watch_replay "$traces" "$@" || rc=1; }
  replay together first=601 seeds=3
  replay together first=601 seeds=3 thin=0.02 trace=m-small
  replay own first=601
  replay faults first=601 seeds=5 thin=0.02 trace=m-small
  replay faults first=601 seeds=5 trace=deepseek-r1
  replay alone first=601
else
  echo "the traffic traces are absent: not replayed"
fi
tools/fuzz.sh || rc=1
exit $rc
