#!/usr/bin/env bash
# Builds the static binary for a target, so that folder, user, home and time of the build leave no trace in it; prints its path.
#
#   scripts/static-binary.sh TARGET PROFILE [CARGO ARGUMENT]...
#
# TARGET             x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu, or host
# PROFILE            release, image (links faster) or dev
# SOURCE_DATE_EPOCH  the date that `ringway version` prints; that of the last commit if not given
set -euo pipefail

cd "$(dirname "$0")/.."
target=${1:?usage: static-binary.sh TARGET PROFILE}
profile=${2:?usage: static-binary.sh TARGET PROFILE}
shift 2
host=$(rustc -vV | sed -n 's/^host: //p')
[ "$target" != host ] || target=$host

# Assigned first: a failure within eval would be lost.
if [ "$target" = aarch64-unknown-linux-gnu ] && [ "$host" != "$target" ]; then
    settings=$(scripts/aarch64-toolchain.sh)
    eval "$settings"
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}
RINGWAY_BUILT=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
RINGWAY_RUSTC=$("${RUSTC:-rustc}" --version | cut -d' ' -f2)
export SOURCE_DATE_EPOCH RINGWAY_BUILT RINGWAY_RUSTC

folder=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$folder"
folder=$(realpath "$folder")
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$("${RUSTC:-rustc}" --print sysroot)
# The paths as they are given to the compiler. The last one that fits counts, so the folder of the build, which may be inside the source, is last.
maps=("$cargo_home=/cargo" "$sysroot=/rust" "$PWD=/ringway" "$folder=/build")
flags="-C target-feature=+crt-static"
c_flags=''
for map in "${maps[@]}"; do
    flags+=" --remap-path-prefix=$map"
    c_flags+=" -ffile-prefix-map=$map"
done
# The same for the C and assembler code of crates (aws-lc, mimalloc).
export CFLAGS="${CFLAGS:-}$c_flags" CXXFLAGS="${CXXFLAGS:-}$c_flags"
# With an explicit target the flags do not reach build scripts and procedural macros, which cannot be static.
RUSTFLAGS=$flags cargo build --locked --bin ringway --profile "$profile" --target "$target" "$@" >&2
[ "$profile" != dev ] || profile=debug
printf '%s\n' "$folder/$target/$profile/ringway"
