#!/usr/bin/env bash
# Measures the etcd provider with many frontends: time to load them, memory, and the time from a put to the first request that is served by
# it. Starts an etcd of its own (Debian: etcd-server) and a Ringway, both on loopback, and ends them.
#
#   scripts/kv-scale.sh [frontends, default 10000] [program, default target/release/ringway]
set -euo pipefail

count=${1:-10000}
program=${2:-target/release/ringway}
scratch=$(mktemp -d)
pids=()
clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap clean_up EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
etcd_port=$(free_port) peer_port=$(free_port) http_port=$(free_port) api_port=$(free_port) server_port=$(free_port)

etcd --data-dir "$scratch/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" --unsafe-no-fsync >"$scratch/etcd.log" 2>&1 &
pids+=($!)
python3 -m http.server "$server_port" --bind 127.0.0.1 --directory "$scratch" >/dev/null 2>&1 &
pids+=($!)

cat >"$scratch/ringway.toml" <<END
logLevel = "INFO"
providersThrottleDuration = "0s"
[entryPoints.http]
address = "127.0.0.1:$http_port"
[entryPoints.api]
address = "127.0.0.1:$api_port"
[api]
entryPoint = "api"
[etcd]
endpoint = "127.0.0.1:$etcd_port"
useAPIV3 = true
END

python3 - "$count" "$etcd_port" "$http_port" "$api_port" "$server_port" "$program" "$scratch" <<'END'
import base64, http.client, json, subprocess, sys, time

count, etcd, proxy, api, server = map(int, sys.argv[1:6])
program, scratch = sys.argv[6:8]

def request(port, method, path, body=None, host="127.0.0.1"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"Host": host})
    response = connection.getresponse()
    return response.status, response.read()

def encode(text):
    return base64.b64encode(text.encode()).decode()

def put(pairs):
    operations = [{"request_put": {"key": encode(k), "value": encode(v)}} for k, v in pairs]
    for at in range(0, len(operations), 100):
        status, body = request(etcd, "POST", "/v3/kv/txn", json.dumps({"success": operations[at:at + 100]}))
        assert status == 200, body

def until(what, done, limit=120):
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > limit:
            sys.exit(f"after {limit} s still not: {what}")
        time.sleep(0.002)
    return time.monotonic() - start

def answers(port, path="/"):
    try:
        return request(port, "GET", path)[0] is not None
    except OSError:
        return False

def resident(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    values = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {name: int(value.split()[0]) // 1024 for name, value in values.items()}

until("etcd answers", lambda: answers(etcd, "/health"))
pairs = []
for n in range(count):
    pairs += [(f"traefik/backends/b{n}/servers/s/url", f"http://127.0.0.1:{server}"),
              (f"traefik/backends/b{n}/servers/s/weight", "1"),
              (f"traefik/frontends/f{n}/backend", f"b{n}"),
              (f"traefik/frontends/f{n}/entrypoints", "http"),
              (f"traefik/frontends/f{n}/routes/r/rule", f"Host:app-{n}.example.org")]
put(pairs)
print(f"{count} frontends, {len(pairs)} keys in etcd")

for run in ("empty", "full"):
    arguments = [program, f"--configFile={scratch}/ringway.toml"]
    if run == "empty":
        arguments.append("--etcd.prefix=empty")
    start = time.monotonic()
    process = subprocess.Popen(arguments, stdout=open(f"{scratch}/{run}.log", "w"), stderr=subprocess.STDOUT)
    try:
        until("the proxy answers", lambda: answers(proxy))
        if run == "full":
            last = f"app-{count - 1}.example.org"
            until("the last frontend is served", lambda: request(proxy, "GET", "/", host=last)[0] == 200)
        took = time.monotonic() - start
        time.sleep(1)
        memory = resident(process.pid)
        print(f"{run}: start to served {took * 1000:.0f} ms, {memory['VmRSS']} MiB resident, {memory['VmHWM']} MiB at most")
        if run == "full":
            times = []
            for n in range(20):
                key, name = f"traefik/frontends/f{n}/routes/r/rule", f"changed-{n}.example.org"
                begin = time.monotonic()
                put([(key, f"Host:{name}")])
                until("the change is served", lambda: request(proxy, "GET", "/", host=name)[0] == 200)
                times.append((time.monotonic() - begin) * 1000)
                time.sleep(0.1)
            times.sort()
            print(f"put to served: median {times[10]:.0f} ms, worst of 20 {times[-1]:.0f} ms")
    finally:
        process.terminate()
        process.wait()
END
