#!/usr/bin/env bash
# Builds the static binary and the Debian package twice, from two copies of the source in two folders, with two homes of cargo and two target
# folders, and compares them byte for byte.
#
#   scripts/reproducible.sh [PROFILE]     dev by default: the cheapest, a few minutes on two idle cores; release is what ships
#
# Everything is compiled twice, so scripts/test.sh does not run this; a release does.
set -euo pipefail

cd "$(dirname "$0")/.."
profile=${1:-dev}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)
export SOURCE_DATE_EPOCH

say() { printf 'reproducible: %s\n' "$*"; }

home=${CARGO_HOME:-$HOME/.cargo}
for name in one another-folder-with-a-longer-name; do
    folder=$work/$name
    mkdir -p "$folder/source" "$folder/out"
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder/source"
    # The same crates by another path.
    ln -s "$home" "$folder/cargo"
    say "building in $folder, profile $profile"
    # The wall clock differs by the first build; owner and umask differ by these.
    (
        umask "$([ "$name" = one ] && echo 022 || echo 077)"
        cd "$folder/source"
        export CARGO_HOME=$folder/cargo CARGO_TARGET_DIR=$folder/target
        binary=$(scripts/static-binary.sh host "$profile")
        mv "$binary" "$folder/out/ringway"
        scripts/deb.sh "$folder/out/ringway" "$folder/out" >/dev/null
        # Before the next one is built: the disk may hold one of them alone.
        rm -rf "$folder/target"
    )
done
cd "$work"
sha256sum */out/*
status=0
for file in one/out/*; do
    other=another-folder-with-a-longer-name/out/$(basename "$file")
    if cmp -s "$file" "$other"; then
        say "$(basename "$file") is the same"
    else
        say "$(basename "$file") differs"
        status=1
    fi
    if [ "$(basename "$file")" = ringway ] && grep -qaF "$work" "$file"; then
        say "the binary names the folder of its build"
        status=1
    fi
done
exit "$status"
