#!/usr/bin/env bash
# Builds the dashboard, ui/ → build/ui: index.html and assets/, each also packed as .gz, which the binary takes in. What is there and was
# made of this very ui/: says nothing, asks nobody, needs neither network nor Node.
#   tools/ui.sh         with the pinned Node (npm's package of it, compared with its digest) and the packages of ui/package-lock.json
#   BALLAST_NODE=PATH   take that Node (22 or newer) instead
#   OFFLINE=1           ask no registry: what is installed already has to do
set -euo pipefail
cd "$(dirname "$0")/.."
version=22.23.3
limit=350000            # bytes of everything, packed: what a first visit may load at most
declare -A sums=(
  [x64]=a879f3e6d16c1e88ff58cfae4443558d638d8b9855be6c2b82af00e15efa2a9b95340738fa3c0af31e20c1ba1b13d06d1cd83f00a476e7cdde628acb17f73b9e
  [arm64]=9770c01d9adeca5a3ea7d4170edb0eae31b625726a5736179c01a621034e50d01170ca694ced9c99ec1540ffb7ead8c99d213e773a4c36d816f9cde8883bd7b4)

give_up() {
  echo "ui: $1" >&2
  echo "ui: the dashboard is built from ui/ with Node $version and the packages of ui/package-lock.json, out of npm's registry. With network:" >&2
  echo "ui: install npm (tools/deps.sh build) and run tools/ui.sh. Without: run it elsewhere on the same ui/, and copy build/ui and build/ui.stamp here." >&2
  exit 1
}

# The sources' digest: of the names and bytes of all that is in ui/, and of this file, which says how it is built.
digest() {
  { find ui -name node_modules -prune -o -type f -print0; printf 'tools/ui.sh\0'; } | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}
fits() { [ -f build/ui/index.html ] && [ "$(cat build/ui.stamp 2>/dev/null)" = "$mark" ]; }

pinned_node() {
  local kind
  case $(uname -m) in x86_64) kind=x64 ;; aarch64) kind=arm64 ;; *) give_up "no Node is pinned for this machine ($(uname -m)): name one, BALLAST_NODE=PATH" ;; esac
  node=$PWD/build/node/bin/node
  [ "$(cat build/node/.version 2>/dev/null)" != "$kind $version" ] || return 0
  [ -z "${OFFLINE:-}" ] || give_up "OFFLINE, and build/node is not Node $version"
  command -v npm >/dev/null || give_up "Node $version is not in build/node, and this machine has no npm"
  echo "ui: npm pack node-linux-$kind@$version"
  (cd "$work" && npm pack --silent "node-linux-$kind@$version" >/dev/null) || give_up "npm could not fetch node-linux-$kind@$version"
  echo "${sums[$kind]}  $work/node-linux-$kind-$version.tgz" | sha512sum --check --status || give_up "what npm sent for node-linux-$kind@$version has another digest: not used"
  tar -xzf "$work/node-linux-$kind-$version.tgz" -C "$work" package/bin/node package/LICENSE || give_up "node-linux-$kind@$version does not have the files"
  echo "$kind $version" >"$work/package/.version"
  rm -rf build/node
  mv "$work/package" build/node
}

packages() {
  local lock
  lock="$(sha256sum <ui/package-lock.json | cut -d' ' -f1)"
  [ "$(cat ui/node_modules/.installed 2>/dev/null)" != "$lock" ] || return 0
  [ -z "${OFFLINE:-}" ] || give_up "OFFLINE, and ui/node_modules is not what ui/package-lock.json says"
  command -v npm >/dev/null || give_up "the packages of ui/ are not installed, and this machine has no npm"
  echo "ui: npm ci"
  # No package's script runs: a build needs none of them. npm checks each package against the lock file's digest.
  (cd ui && PATH="${node%/*}:$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) || give_up "npm could not install the packages of ui/package-lock.json"
  echo "$lock" >ui/node_modules/.installed
}

build() {
  local new=$work/ui log=build/ui.log file total=0
  (cd ui && "$node" node_modules/vite/bin/vite.js build --outDir "$new" --emptyOutDir) >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  # -n: neither name nor time goes in, so the same sources give the same bytes.
  while IFS= read -r -d '' file; do
    gzip -9 -n -k "$file"
    total=$((total + $(stat -c %s "$file.gz")))
  done < <(find "$new" -type f -print0)
  if [ "$total" -ge "$limit" ]; then
    echo "ui: the front end has $total bytes packed; less than $limit are allowed. See $log for what is large." >&2
    exit 1
  fi
  echo "ui: $total bytes packed (of $limit), $(find "$new" -type f ! -name '*.gz' | wc -l) files"
  # What came out as it was keeps its times, and nothing is linked anew.
  diff -rq "$new" build/ui >/dev/null 2>&1 || { rm -rf build/ui && mv "$new" build/ui; }
  echo "$mark" >build/ui.stamp
}

mark=$(digest)
! fits || exit 0
mkdir -p build
exec 9>build/.ui.lock
flock 9                 # of two builds that begin at once, one makes it and the other finds it
! fits || exit 0
work=$(mktemp -d -p build .ui.XXXXXX)
work=$PWD/$work
trap 'rm -rf "$work"' EXIT
if [ -n "${BALLAST_NODE:-}" ]; then
  node=$(command -v "$BALLAST_NODE") || give_up "BALLAST_NODE=$BALLAST_NODE is no program"
  major=$("$node" --version | tr -d v | cut -d. -f1)
  [ "$major" -ge 22 ] || give_up "BALLAST_NODE=$BALLAST_NODE is Node $major; 22 or newer is needed"
else
  pinned_node
fi
packages
build
