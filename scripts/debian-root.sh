#!/usr/bin/env bash
# Makes the root of a small Debian system that systemd can boot, with debootstrap, and prints its folder. Made once: later calls find it in
# the user's cache. What uses it takes a copy.
#
#   scripts/debian-root.sh
#
# RINGWAY_TOOLS  where it is kept; by default ringway-tools in the user's cache
set -euo pipefail

root=${RINGWAY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-tools}/debian-root
suite=bookworm

say() { printf 'debian-root: %s\n' "$*" >&2; }

mkdir -p "$(dirname "$root")"
# Two callers at the same time: the second one waits for the first one's root.
exec 9>"$root.lock"
flock 9
if [ ! -e "$root/etc/debian_version" ]; then
    [ "$(id -u)" -eq 0 ] || { say "root is needed for debootstrap"; exit 1; }
    command -v debootstrap >/dev/null || { say "debootstrap is missing: install it"; exit 1; }
    say "debootstrap of $suite into $root: a minute or two"
    rm -rf "$root.new"
    if ! debootstrap --variant=minbase --include=systemd,systemd-sysv,adduser,init-system-helpers,iproute2,curl \
        "$suite" "$root.new" >"$root.log" 2>&1; then
        tail -n 20 "$root.log" >&2
        say "debootstrap failed; $root.log has all of its output"
        exit 1
    fi
    rm -rf "$root.new"/var/cache/apt/archives/*.deb "$root.new"/var/lib/apt/lists/*
    mv "$root.new" "$root"
fi
printf '%s\n' "$root"
