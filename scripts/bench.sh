#!/usr/bin/env bash
# Measures Ringway (both drivers) beside nginx and HAProxy on this machine and prints Markdown tables.
#
#   scripts/bench.sh [--scenarios plain,tls,k64,m1] [--proxies ringway,ringway-epoll,nginx,haproxy] [--rounds N] [--secs S]
#
# RINGWAY=FILE measures that binary instead of building one. At least two cores are needed: one for the proxy, one for the
# load. examples/bench.rs says what is measured and how; everything stays on 127.0.0.1.
set -euo pipefail

cd "$(dirname "$0")/.."
if [ "$(nproc)" -lt 2 ]; then
    echo "bench: two cores are needed, one for the proxy and one for the load" >&2
    exit 1
fi
PATH=$PATH:/usr/sbin:/sbin
scripts/packages.sh wrk nginx-light haproxy openssl gcc libc6-dev

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench"
binary=${RINGWAY:-}
if [ -z "$binary" ]; then
    cargo build --locked --release --bin ringway
    binary=$target/release/ringway
fi
# Both use the standard library alone; compiled like this they do not link the whole crate a second time.
for tool in bench whoami; do
    rustc --edition 2024 -O -o "$target/bench/$tool" "examples/$tool.rs"
done

ulimit -n "$(ulimit -Hn)"
printf 'Kernel %s, %s, %s cores; %s; %s; %s\n' "$(uname -r)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    "$(nproc)" "$("$binary" version | sed -n "s/^Version: */Ringway /p")" "$(nginx -v 2>&1)" "$(haproxy -v | head -n 1)"
exec "$target/bench/bench" --ringway "$binary" --origin "$target/bench/whoami" "$@"
