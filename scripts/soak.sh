#!/usr/bin/env bash
# Keeps a Ringway of each driver busy for a long time, both at once: load over kept and new connections of HTTP/1.1, over HTTP/2 from
# clients and to a server, gRPC calls, tables that change twice a second, and, where an engine answers, containers that come and go, and a
# service whose two replicas are replaced one after the other under load of its own. Every minute it prints resident memory, descriptors
# and threads of each process.
#
#   scripts/soak.sh [--minutes N] [--driver io_uring|epoll]
#
# RINGWAY=FILE runs that binary instead of building one. Ends with 1 if a request failed, or if one of the three figures of a process grew
# by more than a quarter (and 16 MiB, 64 descriptors, 4 threads) from the third minute to the last.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/lib.sh
minutes=30
driver="io_uring epoll"
set_options "soak.sh [--minutes N] [--driver io_uring|epoll]" "minutes driver" "$@"
read -ra drivers <<<"$driver"
scripts/packages.sh wrk curl procps gcc libc6-dev nghttp2-client nghttp2-server python3 python3-venv
export RINGWAY_TOOLS=${RINGWAY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-tools} PYTHONDONTWRITEBYTECODE=1
scripts/http2-tools.sh
python=$RINGWAY_TOOLS/python/bin/python3

set_up_run soak release
tag=ringway-soak-${RINGWAY_RUN:-$$}
service=service.soak.test
has_engine=false
if docker version >/dev/null 2>&1; then has_engine=true; fi
loads=()
clean_up() {
    for one in "${loads[@]}"; do kill "$one" 2>/dev/null || true; done
    if $has_engine; then
        docker ps -aq --filter "name=$tag" | xargs -r docker rm -f >/dev/null 2>&1 || true
        docker rmi "$tag" >/dev/null 2>&1 || true
    fi
}
failed=0
fail() {
    echo "soak: $*" >&2
    failed=1
}

routes() {
    printf '[backends.b.servers.s]\nurl = "http://127.0.0.1:%s"\n' "$origin"
    printf '[frontends.f]\nbackend = "b"\n[frontends.f.headers.customResponseHeaders]\nX-Table = "%s"\n' "$1"
    printf '[frontends.f.routes.r]\nrule = "Host:127.0.0.1"\n'
    printf '[backends.%s.servers.s]\nurl = "h2c://127.0.0.1:%s"\n' h2c "$h2c" grpc "$grpc"
    printf '[frontends.h2c]\nbackend = "h2c"\n[frontends.h2c.routes.r]\nrule = "Host:h2c.soak.test"\n'
    printf '[frontends.grpc]\nbackend = "grpc"\n[frontends.grpc.routes.r]\nrule = "Host:a.test"\n'
    for n in $(seq 50); do
        printf '[frontends.g%s]\nbackend = "b"\n[frontends.g%s.routes.r]\nrule = "Host:g%s-%s.test"\n' "$n" "$n" "$n" "$1"
    done
}
change_tables() {
    for n in $(seq 1000000); do
        routes "$n" >"$work/routes.new" && mv "$work/routes.new" "$work/routes.toml"
        sleep 0.5
    done
}

make_image() {
    mkdir -p "$work/root"
    rustc --edition 2024 -O -C target-feature=+crt-static -o "$work/root/whoami" examples/whoami.rs
    tar -C "$work/root" -cf - . | docker import --change 'ENTRYPOINT ["/whoami"]' --change 'EXPOSE 80' - "$tag" >/dev/null
}
come_and_go() {
    for n in $(seq 1000000); do
        docker run -d --name "$tag-$n" --label "traefik.tags=$tag" "$tag" >/dev/null
        sleep 1
        docker rm -f "$tag-$n" >/dev/null
    done
}
# start_replica N GENERATION: and waits until every process has asked it for something.
start_replica() {
    local name=$tag-replica-$1 known=$tag-$1-$2 driver
    docker run -d --name "$name" --label "traefik.tags=$tag" --label "traefik.frontend.rule=Host:$service" \
        --label traefik.backend=service "$tag" --name "$known" >/dev/null
    for driver in "${drivers[@]}"; do
        for _ in $(seq 600); do
            if curl -s -m 5 -H "Host: $service" "http://127.0.0.1:${ports[$driver]}/" | grep -cw "$known" >/dev/null; then continue 2; fi
            sleep 0.1
        done
        echo "soak: $driver sends no request to $known" >&2
        return 1
    done
}
replace_replicas() {
    for generation in $(seq 1000000); do
        for n in 1 2; do
            # The program does not know the signal: it serves what it has until it is killed.
            docker stop -t 2 "$tag-replica-$n" >/dev/null
            docker rm "$tag-replica-$n" >/dev/null
            start_replica "$n" "$generation"
            echo "$n $generation" >>"$work/replaced"
        done
    done
}

# Servers of HTTP/2 without TLS: files, and gRPC.
mkdir "$work/pages"
head -c 20000 /dev/zero >"$work/pages/index.html"
h2c=$(free_port)
nghttpd --no-tls --address 127.0.0.1 --htdocs "$work/pages" "$h2c" >"$work/nghttpd.log" 2>&1 &
pids+=($!)
grpc=$(free_port)
"$python" tests/http2/python/grpc_server.py --port "$grpc" >"$work/grpc.log" 2>&1 &
pids+=($!)

routes 0 >"$work/routes.toml"
declare -A ports secure_ports processes
for driver in "${drivers[@]}"; do
    port=$(free_port)
    secure_ports[$driver]=$(free_port)
    {
        printf 'defaultEntryPoints = ["http", "https"]\nprovidersThrottleDuration = "100ms"\n[entryPoints.http]\naddress = "127.0.0.1:%s"\n' "$port"
        printf '[entryPoints.https]\naddress = "127.0.0.1:%s"\n[entryPoints.https.tls]\n' "${secure_ports[$driver]}"
        printf '[file]\nfilename = "%s"\n' "$work/routes.toml"
        # What failed, or would have in a client with a shorter time-out. 499 is h2load, which leaves at the end of its time.
        printf '[accessLog]\nfilePath = "%s"\n' "$work/bad-$driver.log"
        printf '[accessLog.filters]\nstatusCodes = ["400-498", "500-599"]\nminDuration = "5s"\n'
        if $has_engine; then
            printf '[docker]\ndomain = "soak.test"\nconstraints = ["tag==%s"]\nunavailableGrace = "20s"\n' "$tag"
        fi
    } >"$work/ringway.toml"
    start_ringway "$driver" "$port"
    ports[$driver]=$port processes[$driver]=$pid
done
change_tables &
pids+=($!)
# What keeps the containers moving: if one of them ends, there is nothing to be seen any more.
movers=()
if $has_engine; then
    make_image
    start_replica 1 0
    start_replica 2 0
    come_and_go >>"$work/containers.log" 2>&1 &
    movers+=($!)
    replace_replicas >>"$work/containers.log" 2>&1 &
    movers+=($!)
    pids+=("${movers[@]}")
fi

# hammer DRIVER NAME ARGUMENT...: half a minute of requests in the background, the outcome in $work/NAME-DRIVER. An answer takes 20 ms at
# the backend, which sets the rate: at full speed the kernel drops packets to containers, and the engine needs half a minute to start
# one. Even so the engine's bridge stands still for seconds now and then, for everybody on the host: a request may take long, but is
# answered.
hammer() {
    local driver=$1 name=$2
    shift 2
    wrk -t 1 -d 28 --timeout 20s "$@" "http://127.0.0.1:${ports[$driver]}/slow/20" >"$work/$name-$driver" 2>&1 &
    loads+=($!)
}
# stream DRIVER NAME RATE URL ARGUMENT...: the same over HTTP/2, 8 connections of 10 streams with RATE requests a second each.
stream() {
    local driver=$1 name=$2 rate=$3 url=$4
    shift 4
    h2load -c 8 -m 10 --rps "$rate" -D 28 "$@" "$url" >"$work/$name-$driver" 2>&1 &
    loads+=($!)
}
# call DRIVER: gRPC calls of several kinds; a few seconds, and at the end of the time the outcome of all of them.
call() {
    "$python" tests/http2/python/grpc_client.py --port "${ports[$1]}" ten_thousand_calls ping_pong cancel_after_first_response \
        deadline_reaches_the_server large_unary client_streaming server_streaming >"$work/calls.$1" 2>&1 &
    loads+=($!)
}
load() {
    local driver one
    loads=()
    for driver in "${drivers[@]}"; do
        hammer "$driver" kept -c 32
        hammer "$driver" new -c 8 -H 'Connection: close'
        stream "$driver" h2 50 "https://127.0.0.1:${secure_ports[$driver]}/slow/20"
        stream "$driver" h2c 50 "http://h2c.soak.test:${ports[$driver]}/" --connect-to "127.0.0.1:${ports[$driver]}"
        call "$driver"
        if $has_engine; then hammer "$driver" service -c 8 -H "Host: $service"; fi
    done
    for one in "${loads[@]}"; do wait "$one" || fail "a load could not be made"; done
    loads=()
    for driver in "${drivers[@]}"; do
        if grep -E 'Socket errors|Non-2xx' "$work"/*-"$driver"; then fail "requests failed ($driver)"; fi
        for one in "$work"/h2-"$driver" "$work"/h2c-"$driver"; do
            grep -qE '^requests: .* 0 failed, 0 errored, 0 timeout' "$one" && grep -qE ' 0 3xx, 0 4xx, 0 5xx$' "$one" ||
                fail "requests over HTTP/2 failed ($driver): $(grep -E '^(requests|status codes):' "$one")"
        done
        [ "$(grep -c '^passed: ' "$work/calls.$driver")" -eq 7 ] || fail "gRPC calls failed ($driver): $(tail -n 5 "$work/calls.$driver")"
        for one in "$work"/*-"$driver"; do
            [ "$(rate "$one")" -gt 0 ] || fail "there was no load: $(cat "$one")"
        done
    done
    for one in "${movers[@]}"; do
        kill -0 "$one" 2>/dev/null || fail "containers are not replaced any more: $(tail -n 3 "$work/containers.log")"
    done
}
rate() { awk '/Requests\/sec/ {rate = int($2)} /^finished in/ {rate = int($4)} END {print rate + 0}' "$1" 2>/dev/null || echo 0; }

declare -A first last
printf '| minute | driver | requests/s | HTTP/2 | to h2c | of the service | RSS KiB | descriptors | threads |\n|---|---|---|---|---|---|---|---|---|\n'
for minute in $(seq "$minutes"); do
    load
    load
    # At rest: what is held now is held for good.
    sleep 3
    for driver in "${drivers[@]}"; do
        pid=${processes[$driver]}
        last[$driver]="$(resident "$pid") $(descriptors "$pid") $(awk '/^Threads/ {print $2}' "/proc/$pid/status")"
        read -r rss fds threads <<<"${last[$driver]}"
        printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$minute" "$driver" "$(rate "$work/kept-$driver")" \
            "$(rate "$work/h2-$driver")" "$(rate "$work/h2c-$driver")" "$(rate "$work/service-$driver")" "$rss" "$fds" "$threads"
        # The first minutes fill pools and the allocator.
        if [ "$minute" -eq 3 ] || [ "$minutes" -lt 3 ]; then first[$driver]=${last[$driver]}; fi
    done
done

grew() { # NAME FIRST LAST SLACK
    if [ "$3" -gt $(($2 + $2 / 4 + $4)) ]; then fail "$1 grew from $2 to $3"; fi
}
for driver in "${drivers[@]}"; do
    read -r rss_first fds_first threads_first <<<"${first[$driver]}"
    read -r rss fds threads <<<"${last[$driver]}"
    grew "$driver: resident memory (KiB)" "$rss_first" "$rss" 16384
    grew "$driver: descriptors" "$fds_first" "$fds" 64
    grew "$driver: threads" "$threads_first" "$threads" 4
done
if $has_engine; then
    replaced=$(wc -l <"$work/replaced")
    echo "soak: $replaced replicas replaced"
    [ "$replaced" -gt 0 ] || fail "none was replaced"
fi
if [ "$failed" -ne 0 ]; then
    tail -n 20 "$work"/ringway-*.log "$work"/bad-*.log >&2
    exit 1
fi
echo "soak: flat, and no request failed"
