#!/usr/bin/env bash
# Makes what a release consists of, in FOLDER: for each target a static binary in a tar archive and a Debian package; the bill of materials;
# SHA256SUMS over all of them.
#
#   scripts/release.sh FOLDER [TARGET]...     x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu if no target is named
#
# RINGWAY_PROFILE    the cargo profile: release (default), or image, which links much faster
# RINGWAY_MAINTAINER Name <address> of who answers for the packages; must be given
# SOURCE_DATE_EPOCH  the date of everything; that of the last commit if not given
#
# Ends with 3 if a target could not be built because this machine cannot compile for it; everything else is there then.
set -euo pipefail

cd "$(dirname "$0")/.."
out=${1:?usage: release.sh FOLDER [TARGET]...}
shift
: "${RINGWAY_MAINTAINER:?Name <address> of who answers for the packages}"
export RINGWAY_MAINTAINER
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu)
profile=${RINGWAY_PROFILE:-release}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
umask 022

say() { printf 'release: %s\n' "$*" >&2; }

mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skipped=()
for target in "${targets[@]}"; do
    case $target in
    x86_64-*) strip=strip emulator='' ;;
    aarch64-*) strip=aarch64-linux-gnu-strip emulator=qemu-aarch64-static ;;
    *) say "$target is no target of a release"; exit 1 ;;
    esac
    if [ "$(uname -m)" = "${target%%-*}" ]; then
        emulator='' strip=strip
    elif [ -z "$emulator" ] || ! command -v "$emulator" >/dev/null; then
        # Man page and completions are what the program prints.
        say "$target needs an emulator to run here: install qemu-user-static"
        skipped+=("$target")
        continue
    fi
    status=0
    binary=$(scripts/static-binary.sh "$target" "$profile") || status=$?
    if [ "$status" -eq 3 ]; then
        say "$target is left out: no compiler for it here, see above"
        skipped+=("$target")
        continue
    fi
    [ "$status" -eq 0 ] || exit "$status"

    name=ringway-$version-${target%%-*}-linux
    folder=$work/$name
    mkdir -p "$folder/completions"
    install -m 755 "$binary" "$folder/ringway"
    read -ra runner <<<"$emulator"
    "${runner[@]}" "$folder/ringway" version >&2
    "${runner[@]}" "$folder/ringway" man >"$folder/ringway.8"
    for shell in bash zsh fish; do "${runner[@]}" "$folder/ringway" completions "$shell" >"$folder/completions/ringway.$shell"; done
    "$strip" --strip-unneeded --remove-section=.comment --remove-section=.note "$folder/ringway"
    install -m 644 README.md CHANGELOG.md COMPAT.md LICENSE-APACHE LICENSE-MIT docs/ringway.service docs/ringway.socket "$folder/"
    scripts/sbom.sh "$target" >"$folder/ringway.cdx.json"
    # Names in order, one date, no owner, and no time in gzip's head: the same files give the same archive.
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu -C "$work" -c "$name" | gzip -9n >"$out/$name.tar.gz"
    cp "$folder/ringway.cdx.json" "$out/$name.cdx.json"
    RINGWAY_RUNNER=$emulator scripts/deb.sh "$binary" "$out" >/dev/null
    say "$name.tar.gz: $(stat -c %s "$out/$name.tar.gz") bytes"
done
(cd "$out" && find . -maxdepth 1 -type f -name 'ringway*' -printf '%P\n' | sort | xargs -d '\n' sha256sum >SHA256SUMS)
cat "$out/SHA256SUMS"
if [ ${#skipped[@]} -gt 0 ]; then
    say "left out: ${skipped[*]}"
    exit 3
fi
