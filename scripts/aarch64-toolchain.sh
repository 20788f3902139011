#!/usr/bin/env bash
# Finds or makes what compiles and links Ringway for aarch64 on this machine, and prints it as assignments for cargo:
#
#   eval "$(scripts/aarch64-toolchain.sh)" && cargo build --target aarch64-unknown-linux-gnu
#
# In this order: the project's own toolchain, if it has the target (rustup target add aarch64-unknown-linux-gnu); else Debian's compiler
# rustc-web with Debian's standard library for arm64, unpacked into a folder of the user's cache. Nothing of the system is changed but the
# installation of the cross-linker. Ends with 3, and says what is missing, where neither is possible.
#
# RINGWAY_TOOLS  the folder for the unpacked compiler; by default ringway-tools in the user's cache
set -euo pipefail

cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
tools=${RINGWAY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-tools}/aarch64

say() { printf 'aarch64-toolchain: %s\n' "$*" >&2; }
missing() { say "$*"; exit 3; }

if ! command -v aarch64-linux-gnu-gcc >/dev/null || [ ! -e /usr/aarch64-linux-gnu/lib/libc.a ]; then
    scripts/packages.sh gcc-aarch64-linux-gnu libc6-dev-arm64-cross >&2 ||
        missing "a cross-linker is missing: install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"
fi

print_settings() {
    printf 'export RUSTC=%q\n' "$1"
    printf 'export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc\n'
    printf 'export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar\n'
}

own=$(rustc --print sysroot)
if [ -d "$own/lib/rustlib/$target/lib" ]; then
    print_settings "$own/bin/rustc"
    exit 0
fi

wrapper=$tools/rustc
if [ ! -x "$wrapper" ]; then
    command -v apt-get >/dev/null || missing "no standard library for $target: rustup target add $target"
    say "unpacking Debian's compiler and its library for arm64 into $tools"
    rm -rf "$tools.new"
    mkdir -p "$tools.new"/{lists/partial,cache/archives/partial,debs}
    # The machine's own sources, for two architectures, with lists of its own: the machine's package manager keeps its architectures.
    cat >"$tools.new/apt.conf" <<END
Dir::State::Lists "$tools.new/lists";
Dir::Cache "$tools.new/cache";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "root";
END
    export APT_CONFIG=$tools.new/apt.conf
    apt-get update -qq >/dev/null 2>&1 || true
    version=$(apt-cache policy libstd-rust-web-dev:arm64 | sed -n 's/^  Candidate: //p')
    case $version in
    '' | '(none)') missing "Debian's sources here have no libstd-rust-web-dev for arm64: rustup target add $target" ;;
    esac
    # What the compiler itself is linked with: its LLVM has another name in every version.
    library=$(apt-cache depends "rustc-web:amd64=$version" "libstd-rust-web-dev:amd64=$version" | sed -n 's/^ *Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -1)
    llvm=$(apt-cache depends "$library:amd64=$version" | sed -n 's/^ *Depends: \(libllvm[0-9]*\)$/\1/p' | head -1)
    (cd "$tools.new/debs" && apt-get download -qq "rustc-web:amd64=$version" "libstd-rust-web-dev:amd64=$version" \
        "$library:amd64=$version" "libstd-rust-web-dev:arm64=$version" "$llvm:amd64" >/dev/null 2>&1) ||
        missing "Debian's packages rustc-web, $library, $llvm and libstd-rust-web-dev could not be downloaded"
    for package in "$tools.new"/debs/*.deb; do dpkg-deb -x "$package" "$tools.new/root"; done
    rm -rf "$tools.new"/{lists,cache,debs}
    rm -rf "$tools"
    mv "$tools.new" "$tools"
    {
        printf '#!/bin/sh\n'
        printf 'LD_LIBRARY_PATH=%q exec %q --sysroot %q "$@"\n' \
            "$tools/root/usr/lib/x86_64-linux-gnu" "$tools/root/usr/bin/rustc" "$tools/root/usr"
    } >"$wrapper"
    chmod 755 "$wrapper"
fi
"$wrapper" --version >/dev/null || { rm -f "$wrapper"; missing "Debian's compiler in $tools does not run"; }
print_settings "$wrapper"
