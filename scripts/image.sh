#!/usr/bin/env bash
# Builds the Ringway image TAG with the local engine, without pulling anything.
#
#   scripts/image.sh TAG
#
# RINGWAY_BINARY   a static binary to package, instead of building one
# RINGWAY_PROFILE  the cargo profile to build with: release (default), or image, which links much faster
# RINGWAY_BESIDE   what cargo builds beside the binary (`--bench exchange`), so that what they share is compiled once
# RINGWAY_SBOM     where a copy of the bill of materials goes, which is /ringway.cdx.json in the image: target/ringway.cdx.json if not given
#
# The instructions (entry point, ports, working directory) are those of the last stage of the Dockerfile.
set -euo pipefail

cd "$(dirname "$0")/.."
tag=${1:?usage: image.sh TAG}
profile=${RINGWAY_PROFILE:-release}
target=$(rustc -vV | sed -n 's/^host: //p')
# The tests build it without optimization at link time, which makes it larger than a released one.
size_bytes_max=$((28 * 1024 * 1024))

say() { printf 'image: %s\n' "$*"; }

binary=${RINGWAY_BINARY:-}
if [ -z "$binary" ]; then
    # With an explicit target the flags do not reach build scripts and procedural macros, which cannot be static.
    say "building the static binary, profile $profile"
    read -ra beside <<<"${RINGWAY_BESIDE:-}"
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --bin ringway "${beside[@]}" --profile "$profile" --target "$target"
    binary=${CARGO_TARGET_DIR:-target}/$target/$profile/ringway
fi
[ -x "$binary" ] || { say "$binary is no executable file" >&2; exit 1; }
# A dynamic binary names an interpreter, which the image does not have.
if LC_ALL=C readelf -l "$binary" | grep -q 'Requesting program interpreter'; then
    say "$binary is dynamically linked and would not start in an empty image" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/rootfs.sh "$binary" "$work/root"

sbom=${RINGWAY_SBOM:-${CARGO_TARGET_DIR:-target}/ringway.cdx.json}
mkdir -p "$(dirname "$sbom")"
cp "$work/root/ringway.cdx.json" "$sbom"

changes=()
while IFS= read -r line; do
    changes+=(--change "$line")
done < <(sed -n '/^FROM scratch/,$p' Dockerfile | grep -E '^(ENTRYPOINT|CMD|EXPOSE|WORKDIR|ENV|LABEL|USER) ')
[ ${#changes[@]} -gt 0 ] || { say "the Dockerfile has no last stage FROM scratch" >&2; exit 1; }

tar --numeric-owner --owner=0 --group=0 -C "$work/root" -c . | docker import "${changes[@]}" - "$tag" >/dev/null
size=$(docker image inspect --format '{{.Size}}' "$tag")
say "$tag: $size bytes ($((size / 1024)) KiB), bill of materials in $sbom"
if [ "$size" -gt "$size_bytes_max" ]; then
    say "that is more than the $size_bytes_max bytes an image may have" >&2
    exit 1
fi
