#!/usr/bin/env bash
# The root of the container image: a binary without its symbols, every library that it loads, what name resolution, time zones and TLS read, and a user.
#   tools/image_root.sh BINARY FOLDER      # FOLDER is made; prints its size
set -euo pipefail
binary=$(realpath "$1")
root=$2
[ ! -e "$root" ] || { echo "image_root: $root is already there" >&2; exit 1; }
strip=$(command -v llvm-strip-19 || command -v strip)

mkdir -p "$root"/{etc/ssl/certs,tmp,usr/bin,usr/share,var/lib}
chmod 1777 "$root/tmp"
"$strip" --strip-all -o "$root/usr/bin/ballast" "$binary"

# A library keeps the path at which the loader looks for it; where that is a link, what it leads to gets the name.
ldd "$binary" | grep -oE '/[^ ]+' | sort -u | while read -r library; do
  mkdir -p "$root${library%/*}"
  cp -L "$library" "$root$library"
done

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
cp -a /usr/share/zoneinfo "$root/usr/share/"
rm -rf "$root"/usr/share/zoneinfo/{posix,right}
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/nonexistent\nballast:x:10001:10001:Ballast:/var/lib/ballast:/nonexistent\n' >"$root/etc/passwd"
printf 'root:x:0:\nballast:x:10001:\n' >"$root/etc/group"
install -d -m 700 "$root/var/lib/ballast"
[ "$(id -u)" -ne 0 ] || chown 10001:10001 "$root/var/lib/ballast"
echo "image_root: $(du -sm --apparent-size "$root" | cut -f1) MB in $root"
