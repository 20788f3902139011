# Shared by soak.sh and faults.sh, which source this file: options, the binary, an example backend, and processes that end with the script.
# shellcheck shell=bash

# set_options USAGE NAMES [ARGUMENT...]: `--NAME VALUE` sets the variable NAME; anything else ends the script with the usage.
set_options() {
    local usage=$1 names=" $2 " name
    shift 2
    while [ $# -gt 0 ]; do
        name=${1#--}
        if [ "$1" = "$name" ] || [ $# -lt 2 ] || [[ $names != *" $name "* ]]; then
            echo "usage: $usage" >&2
            exit 2
        fi
        printf -v "$name" %s "$2"
        shift 2
    done
}

# Prints a free port below the range of ports that the kernel assigns to outgoing connections.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# set_up_run NAME PROFILE: sets $binary (that of RINGWAY, or one built with the profile), $work, $origin (the backend's port) and $pids.
set_up_run() {
    local name=$1 profile=$2 target=${CARGO_TARGET_DIR:-target}
    binary=${RINGWAY:-}
    if [ -z "$binary" ]; then
        cargo build --profile "$profile" --locked --bin ringway
        binary=$target/${profile/#dev/debug}/ringway
    fi
    mkdir -p "$target/$name"
    rustc --edition 2024 -O -o "$target/$name/whoami" examples/whoami.rs
    ulimit -n "$(ulimit -Hn)"
    work=$(mktemp -d)
    pids=()
    trap end_run EXIT
    origin=$(free_port)
    "$target/$name/whoami" --name "$name" --port "$origin" >"$work/origin.log" 2>&1 &
    pids+=($!)
}

end_run() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    if declare -F clean_up >/dev/null; then clean_up; fi
    rm -rf "$work"
}

# start_ringway DRIVER PORT: with $work/ringway.toml; sets $pid once the page at the port is there.
start_ringway() {
    "$binary" --configFile="$work/ringway.toml" --driver="$1" >"$work/ringway-$1.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    for _ in $(seq 100); do
        if curl -sf -m 1 -o "$work/page" "http://127.0.0.1:$2/"; then return; fi
        sleep 0.1
    done
    echo "Ringway does not serve:" >&2
    tail -n 20 "$work/ringway-$1.log" >&2
    exit 1
}

descriptors() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
resident() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
