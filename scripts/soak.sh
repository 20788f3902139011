#!/usr/bin/env bash
# Keeps a Ringway busy for a long time: load over kept and new connections, tables that change twice a second, and containers that come
# and go where an engine answers. Every minute it prints resident memory, descriptors and threads.
#
#   scripts/soak.sh [--minutes N] [--driver io_uring|epoll]
#
# RINGWAY=FILE runs that binary instead of building one. Ends with 1 if a request failed, or if one of the three figures grew by more than
# a quarter (and 16 MiB, 64 descriptors, 4 threads) from the third minute to the last.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/stage.sh
minutes=30
driver=auto
set_options "soak.sh [--minutes N] [--driver io_uring|epoll]" "minutes driver" "$@"
scripts/packages.sh wrk curl procps gcc libc6-dev

set_stage soak release
tag=ringway-soak-${RINGWAY_RUN:-$$}
clean_up() {
    if [ -e "$work/has-engine" ]; then
        docker ps -aq --filter "name=$tag" | xargs -r docker rm -f >/dev/null 2>&1 || true
        docker rmi "$tag" >/dev/null 2>&1 || true
    fi
}
port=$(free_port)

routes() {
    printf '[backends.b.servers.s]\nurl = "http://127.0.0.1:%s"\n' "$origin"
    printf '[frontends.f]\nbackend = "b"\n[frontends.f.headers.customResponseHeaders]\nX-Table = "%s"\n' "$1"
    printf '[frontends.f.routes.r]\nrule = "PathPrefix:/"\n'
    for n in $(seq 50); do
        printf '[frontends.g%s]\nbackend = "b"\n[frontends.g%s.routes.r]\nrule = "Host:g%s-%s.test"\n' "$n" "$n" "$n" "$1"
    done
}
routes 0 >"$work/routes.toml"
{
    printf 'defaultEntryPoints = ["http"]\nprovidersThrottleDuration = "100ms"\n[entryPoints.http]\naddress = "127.0.0.1:%s"\n' "$port"
    printf '[file]\nfilename = "%s"\n' "$work/routes.toml"
    if docker version >/dev/null 2>&1; then
        : >"$work/has-engine"
        printf '[docker]\ndomain = "soak.test"\nconstraints = ["tag==%s"]\nunavailableGrace = "20s"\n' "$tag"
    fi
} >"$work/ringway.toml"
start_ringway "$driver" "$port"

change_tables() {
    for n in $(seq 1000000); do
        routes "$n" >"$work/routes.new" && mv "$work/routes.new" "$work/routes.toml"
        sleep 0.5
    done
}
change_tables &
pids+=($!)

churn_containers() {
    mkdir -p "$work/root"
    rustc --edition 2024 -O -C target-feature=+crt-static -o "$work/root/whoami" examples/whoami.rs
    tar -C "$work/root" -cf - . | docker import --change 'ENTRYPOINT ["/whoami"]' --change 'EXPOSE 80' - "$tag" >/dev/null
    for n in $(seq 1000000); do
        docker run -d --name "$tag-$n" --label "traefik.tags=$tag" "$tag" >/dev/null
        sleep 1
        docker rm -f "$tag-$n" >/dev/null
    done
}
if [ -e "$work/has-engine" ]; then
    churn_containers >"$work/churn.log" 2>&1 &
    pids+=($!)
fi

failed=0
load() {
    wrk -t 1 -c 32 -d 28 "http://127.0.0.1:$port/bytes/1000" >"$work/kept" 2>&1 &
    local kept=$!
    wrk -t 1 -c 8 -d 28 -H 'Connection: close' "http://127.0.0.1:$port/bytes/1000" >"$work/new" 2>&1
    wait "$kept"
    if grep -E 'Socket errors|Non-2xx' "$work/kept" "$work/new"; then
        failed=1
    fi
}

printf '| minute | requests/s | RSS KiB | descriptors | threads |\n|---|---|---|---|---|\n'
for minute in $(seq "$minutes"); do
    load
    load
    # At rest: what is held now is held for good.
    sleep 3
    rss=$(resident "$pid")
    fds=$(descriptors "$pid")
    threads=$(awk '/^Threads/ {print $2}' "/proc/$pid/status")
    rate=$(awk '/Requests\/sec/ {print int($2)}' "$work/kept")
    printf '| %s | %s | %s | %s | %s |\n' "$minute" "$rate" "$rss" "$fds" "$threads"
    # The first minutes fill pools and the allocator.
    if [ "$minute" -eq 3 ] || [ "$minutes" -lt 3 ]; then
        rss_first=$rss fds_first=$fds threads_first=$threads
    fi
done

grew() { # NAME FIRST LAST SLACK
    if [ "$3" -gt $(($2 + $2 / 4 + $4)) ]; then
        echo "soak: $1 grew from $2 to $3" >&2
        failed=1
    fi
}
grew "resident memory (KiB)" "$rss_first" "$rss" 16384
grew "descriptors" "$fds_first" "$fds" 64
grew "threads" "$threads_first" "$threads" 4
if [ "$failed" -ne 0 ]; then
    tail -n 20 "$work/ringway.log" >&2
    exit 1
fi
echo "soak: flat, and no request failed"
