#!/usr/bin/env bash
# build/deb/ballast_VERSION_ARCHITECTURE.deb, out of the release binary: the service, its unit, its configuration, manual pages.
#   tools/deb.sh [VERSION]     VERSION: another than the binary's, for a build between two releases
#   DEBFULLNAME, DEBEMAIL: who builds it; COMPRESS=none: quicker and three times as large; OUT: where to
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${BALLAST_BIN:-build/release/src/ballast}
version=${1:-$("$binary" version | cut -d' ' -f2)}
maintainer="${DEBFULLNAME:-Ballast developers} <${DEBEMAIL:-root@localhost}>"
architecture=$(dpkg --print-architecture)
out=$(mkdir -p "${OUT:-build/deb}" && cd "${OUT:-build/deb}" && pwd)
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/DEBIAN "$root"/etc/ballast "$root"/lib/systemd/system "$root"/usr/{bin,share/{ballast/prometheus,doc/ballast,lintian/overrides,man}}
epoch=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$epoch}

llvm-strip-19 --strip-all --remove-section=.comment -o "$root/usr/bin/ballast" "$binary"
install -m 644 deploy/systemd/ballast.service "$root/lib/systemd/system/"
# By hand it needs its user and folders made; here the package has.
sed -i '/^# The Debian package brings/,/^#   install -d/d' "$root/lib/systemd/system/ballast.service"
install -m 644 deploy/debian/ballast.yaml "$root/etc/ballast/"
install -d -m 700 "$root/etc/ballast/credentials"
install -m 644 docs/ballast.schema.json "$root/usr/share/ballast/"
install -m 644 deploy/prometheus/*.rules.yaml "$root/usr/share/ballast/prometheus/"
tools/gen_man.py "$binary" "$root/usr/share/man/man1" >/dev/null
install -m 644 deploy/debian/copyright "$root/usr/share/doc/ballast/"
install -m 644 docs/{configuration,deployment,operations,api}.md "$root/usr/share/doc/ballast/"
install -m 644 deploy/debian/lintian-overrides "$root/usr/share/lintian/overrides/ballast"
printf 'ballast (%s) stable; urgency=medium\n\n  * Built from a checkout; docs/ and the history of the source tell what is new.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" >"$root/usr/share/doc/ballast/changelog"
gzip -9n "$root"/usr/share/man/man1/* "$root"/usr/share/doc/ballast/{changelog,*.md}

# What it loads, by package and version: dpkg-shlibdeps wants a source package around it.
mkdir -p "$work/debian"
printf 'Source: ballast\n\nPackage: ballast\nArchitecture: any\nDescription: x\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/ballast 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "deb: dpkg-shlibdeps found no library" >&2; exit 1; }
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed -e "s/@VERSION@/$version/; s/@MAINTAINER@/$maintainer/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@DEPENDS@/$depends/" deploy/debian/control >"$root/DEBIAN/control"
for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$root/DEBIAN/"; done
echo /etc/ballast/ballast.yaml >"$root/DEBIAN/conffiles"
(cd "$root" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod -R u+rwX,go+rX,go-w "$root"
chmod 700 "$root/etc/ballast/credentials"
package=$out/ballast_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z${COMPRESS:-xz}" --build "$root" "$package" >/dev/null
echo "deb: $package, $(du -m "$package" | cut -f1) MB"
