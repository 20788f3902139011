#!/usr/bin/env bash
# Attacks a Ringway on this machine with slowhttptest in its four modes (slow headers, slow body, range, slow read), on both drivers,
# and prints what was measured: how many connections stayed open, whether others were served meanwhile, memory, CPU, and recovery.
#
#   scripts/faults.sh [--secs N] [--connections N] [--driver io_uring|epoll]
#
# RINGWAY=FILE attacks that binary instead of building one. Everything stays on 127.0.0.1. Ends with 1 if a request beside the
# attack failed, or if the proxy did not come back to a few descriptors after it.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/lib.sh
secs=20
connections=500
driver="io_uring epoll"
set_options "faults.sh [--secs N] [--connections N] [--driver io_uring|epoll]" "secs connections driver" "$@"
scripts/packages.sh slowhttptest curl procps gcc libc6-dev

set_up_run faults dev

cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }

failed=0
# One attack; the probe asks for a page ten times a second meanwhile.
attack() {
    local driver=$1 mode=$2 pid=$3 port=$4 path=$5
    shift 5
    local ticks probes=0 misses=0 open_max=0
    ticks=$(cpu_ticks "$pid")
    slowhttptest "$mode" -c "$connections" -r 200 -i 2 -l "$secs" -p 3 -u "http://127.0.0.1:$port$path" -v 1 "$@" >"$work/attack.log" 2>&1 &
    local attacker=$!
    while kill -0 "$attacker" 2>/dev/null; do
        probes=$((probes + 1))
        curl -sf -m 2 -o "$work/page" "http://127.0.0.1:$port/probe" || misses=$((misses + 1))
        local open
        open=$(descriptors "$pid")
        [ "$open" -le "$open_max" ] || open_max=$open
        sleep 0.1
    done
    wait "$attacker" || { echo "faults: slowhttptest $mode failed:" && tail -n 5 "$work/attack.log"; } >&2
    [ "$probes" -gt 5 ] || { echo "faults: the attack $mode did not run" >&2 && failed=1; }
    local spent=$(($(cpu_ticks "$pid") - ticks)) memory after
    memory=$(resident "$pid")
    sleep 6
    after=$(descriptors "$pid")
    printf '| %s | %s | %s | %s | %s of %s | %s ms | %s KiB | %s |\n' \
        "$driver" "$mode" "$connections" "$open_max" "$misses" "$probes" $((spent * 10)) "$memory" "$after"
    [ "$misses" -eq 0 ] && [ "$after" -lt 100 ] || failed=1
}

printf '| driver | mode | connections | descriptors at most | probes missed | CPU | memory | descriptors 6 s after |\n'
printf '|---|---|---|---|---|---|---|---|\n'
for driver in $driver; do
    port=$(free_port)
    cat >"$work/ringway.toml" <<TOML
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:$port"
[respondingTimeouts]
readTimeout = "5s"
idleTimeout = "5s"
writeTimeout = "5s"
[file]
[backends.b.servers.s]
url = "http://127.0.0.1:$origin"
[frontends.f]
backend = "b"
[frontends.f.routes.r]
rule = "PathPrefix:/"
TOML
    start_ringway "$driver" "$port"
    attack "$driver" -H "$pid" "$port" /
    attack "$driver" -B "$pid" "$port" /echo -s 8192
    attack "$driver" -R "$pid" "$port" / -a 5 -b 3000
    attack "$driver" -X "$pid" "$port" /bytes/4000000 -k 10 -n 2 -z 8 -w 8 -y 64
    kill "$pid"
    wait "$pid" || true
done
if [ "$failed" -ne 0 ]; then
    echo "faults: requests beside an attack failed, or descriptors were not given back" >&2
    exit 1
fi
echo "faults: nobody else noticed"
