#!/usr/bin/env bash
# Packs a binary into a Debian package: program, units, man page, completions, configuration, bill of materials.
#
#   scripts/deb.sh BINARY FOLDER            writes FOLDER/ringway_VERSION_ARCHITECTURE.deb and prints its path
#
# RINGWAY_VERSION     the version, instead of that of Cargo.toml
# RINGWAY_RUNNER      what runs a binary of another architecture, to print its man page and completions: qemu-aarch64-static
# RINGWAY_MAINTAINER  Name <address> of who answers for the package
# RINGWAY_DEB_FAST=1  hardly compressed, for tests
# SOURCE_DATE_EPOCH   the date of everything in the package; that of the last commit if not given
#
# The same binary gives the same package, byte for byte, in any folder and for any user.
set -euo pipefail

cd "$(dirname "$0")/.."
binary=${1:?usage: deb.sh BINARY FOLDER}
out=${2:?usage: deb.sh BINARY FOLDER}
version=${RINGWAY_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
maintainer=${RINGWAY_MAINTAINER:-Ringway maintainers <maintainers@packages.example>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
umask 022

say() { printf 'deb: %s\n' "$*" >&2; }

[ -x "$binary" ] || { say "$binary is no executable file"; exit 1; }
machine=$(readelf -h "$binary" | sed -n 's/^ *Machine: *//p')
case $machine in
*X86-64*) architecture=amd64 target=x86_64-unknown-linux-gnu strip=strip ;;
AArch64) architecture=arm64 target=aarch64-unknown-linux-gnu strip=aarch64-linux-gnu-strip ;;
*) say "no Debian architecture is known for $machine"; exit 1 ;;
esac
command -v "$strip" >/dev/null || { say "$strip is missing: install the binutils of that architecture"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

install -D -m 755 "$binary" "$root/usr/bin/ringway"
# What the program says of itself, for the copy that is shipped.
read -ra runner <<<"${RINGWAY_RUNNER:-}"
ringway() { "${runner[@]}" "$root/usr/bin/ringway" "$@"; }
mkdir -p "$root"/usr/share/{man/man8,bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
ringway man | gzip -9n >"$root/usr/share/man/man8/ringway.8.gz"
ringway completions bash >"$root/usr/share/bash-completion/completions/ringway"
ringway completions zsh >"$root/usr/share/zsh/vendor-completions/_ringway"
ringway completions fish >"$root/usr/share/fish/vendor_completions.d/ringway.fish"
"$strip" --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/ringway"

install -D -m 644 packaging/ringway.toml "$root/etc/ringway/ringway.toml"
mkdir -p "$root/etc/ringway/routes" "$root/var/lib/ringway" "$root/usr/lib/systemd/system"
# The group docker exists only where Docker is installed, and a unit that names an unknown group does not start.
sed -e 's|^ExecStart=.*|ExecStart=/usr/bin/ringway --configFile=/etc/ringway/ringway.toml|' \
    -e '/^# To read container labels/d' -e '/^SupplementaryGroups=docker$/d' -e 's|traefik\.toml|/etc/ringway/ringway.toml|' \
    docs/ringway.service >"$root/usr/lib/systemd/system/ringway.service"
sed -e '/^$/,/^# One .socket file/{/^# One .socket file/d}' -e '/^# Sockets= line/d' -e 's|traefik\.toml|/etc/ringway/ringway.toml|' \
    docs/ringway.socket >"$root/usr/lib/systemd/system/ringway.socket"
sed -e 's/^ListenStream=80$/ListenStream=443/' -e 's/^FileDescriptorName=http$/FileDescriptorName=https/' \
    "$root/usr/lib/systemd/system/ringway.socket" >"$root/usr/lib/systemd/system/ringway-https.socket"

doc=$root/usr/share/doc/ringway
mkdir -p "$doc"
{
    printf 'ringway (%s) stable; urgency=medium\n\n  * CHANGELOG.md has the changes.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"
gzip -9n <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
gzip -9n <COMPAT.md >"$doc/COMPAT.md.gz"
scripts/sbom.sh "$target" >"$doc/ringway.cdx.json"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: ringway\n\n'
    printf 'Files: *\nCopyright: the Ringway authors\nLicense: Apache-2.0 or Expat\n\n'
    printf 'License: Apache-2.0\n On Debian systems the text is /usr/share/common-licenses/Apache-2.0.\n\nLicense: Expat\n'
    sed -e 's/^$/./' -e 's/^/ /' LICENSE-MIT
    printf '\nComment:\n The crates that are linked into the program, with their licences, are listed in ringway.cdx.json beside this file.\n'
} >"$doc/copyright"
install -D -m 644 packaging/lintian-overrides "$root/usr/share/lintian/overrides/ringway"

mkdir "$root/DEBIAN"
install -m 755 packaging/postinst packaging/prerm packaging/postrm "$root/DEBIAN/"
printf '/etc/ringway/ringway.toml\n' >"$root/DEBIAN/conffiles"
depends='adduser, init-system-helpers (>= 1.54~)'
if readelf -l "$binary" | grep -q 'Requesting program interpreter'; then
    mkdir "$work/debian"
    printf 'Source: ringway\n\nPackage: ringway\nArchitecture: any\n' >"$work/debian/control"
    depends+=", $(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/ringway" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')"
fi
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort | xargs -d '\n' md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<END
Package: ringway
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(find "$root" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
Depends: $depends
Recommends: ca-certificates
Suggests: docker.io
Section: httpd
Priority: optional
Description: reverse proxy on io_uring for Docker hosts
 Ringway routes HTTP, WebSocket, gRPC, TCP and UDP to containers and servers. It
 reads the configuration files and container labels of Traefik 1.7, gets
 certificates from ACME authorities, and shows its state in a dashboard.
END
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
package=$out/ringway_${version}_$architecture.deb
compression=(-Zxz)
[ -z "${RINGWAY_DEB_FAST:-}" ] || compression=(-Zgzip -z1)
# One thread: xz cuts its input by the number of threads.
dpkg-deb --root-owner-group --threads-max=1 "${compression[@]}" --build "$root" "$package" >/dev/null
say "$package: $(stat -c %s "$package") bytes"
printf '%s\n' "$package"
