#!/usr/bin/env bash
# Lays out the image's whole content in DIR: the binary (also as /traefik), its bill of materials, the CA bundle, a /tmp, and the two files
# that name lookup reads.
#
#   scripts/rootfs.sh BINARY DIR
#
# Used by scripts/image.sh and by the build stage of the Dockerfile, so that both images hold the same.
set -euo pipefail

binary=${1:?usage: rootfs.sh BINARY DIR}
root=${2:?usage: rootfs.sh BINARY DIR}
bundle=/etc/ssl/certs/ca-certificates.crt

[ -s "$bundle" ] || { echo "rootfs: $bundle is missing: install ca-certificates" >&2; exit 1; }

mkdir -p "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
install -m 644 "$bundle" "$root$bundle"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/sbin/nologin\n' >"$root/etc/passwd"
install -m 755 "$binary" "$root/ringway"
strip "$root/ringway"
# Compose files name the program in health checks and entry points: test: ["CMD", "/traefik", "healthcheck"].
ln -s ringway "$root/traefik"
# The label ringway.sbom of the Dockerfile says where it is.
"$(dirname "$0")/sbom.sh" >"$root/ringway.cdx.json"
