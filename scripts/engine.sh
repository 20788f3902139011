#!/usr/bin/env bash
# Sees to it that a Docker Engine answers, and says what it did. Running it twice does nothing the second time.
#
#   scripts/engine.sh [--pid-file FILE]
#
# With a running engine (the default socket, or DOCKER_HOST) nothing is touched. Without one, docker.io is installed from
# Debian if it is missing and dockerd is started in the background; its log goes to $RINGWAY_ENGINE_LOG
# (default /tmp/ringway-dockerd.log). Only an engine started here has its process id written to FILE, so that the caller
# knows what to end: kill "$(cat FILE)".
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf 'engine: %s\n' "$*"; }

pid_file=
if [ "${1:-}" = --pid-file ]; then
    pid_file=${2:?--pid-file needs a file name}
fi
log=${RINGWAY_ENGINE_LOG:-/tmp/ringway-dockerd.log}
start_secs_max=60

answers() { command -v docker >/dev/null && timeout 5 docker version >/dev/null 2>&1; }

describe() {
    docker version --format 'engine: Docker Engine {{.Server.Version}}, API {{.Server.APIVersion}}'
    docker info --format 'engine: storage {{.Driver}}, security {{.SecurityOptions}}'
}

if answers; then
    say "one answers already"
    describe
    exit 0
fi

if [ -n "${DOCKER_HOST:-}" ]; then
    say "DOCKER_HOST is $DOCKER_HOST and nothing answers there; unset it to have an engine started here" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -E scripts/engine.sh "$@"
        if answers; then exit 0; fi
        say "the engine runs, but this user may not use its socket: join the docker group, or run as root" >&2
        exit 1
    fi
    say "no engine answers and starting one needs root" >&2
    exit 1
fi

if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
    scripts/packages.sh docker.io iptables ca-certificates cgroupfs-mount
fi
# A machine without an init system may have no control groups mounted; the engine then refuses every container.
if ! grep -q ' /sys/fs/cgroup' /proc/mounts && command -v cgroupfs-mount >/dev/null; then
    say "mounting control groups"
    cgroupfs-mount
fi

say "starting dockerd, log in $log"
setsid nohup dockerd >"$log" 2>&1 </dev/null &
pid=$!
for _ in $(seq $((start_secs_max * 2))); do
    if answers; then
        say "started, process $pid"
        if [ -n "$pid_file" ]; then echo "$pid" >"$pid_file"; fi
        describe
        exit 0
    fi
    if ! kill -0 "$pid" 2>/dev/null; then
        say "dockerd ended at once; the end of its log:" >&2
        tail -n 15 "$log" >&2
        exit 1
    fi
    sleep 0.5
done
say "dockerd did not answer within $start_secs_max seconds; the end of its log:" >&2
tail -n 15 "$log" >&2
kill "$pid"
exit 1
