#!/usr/bin/env python3
"""How the cost of a request grows: with connections, routes, the size of its head and of its answer's body, and with workers.

    scripts/scaling.py [--rounds N] [--secs S] [--svg FILE] [--page FILE]

Prints a Markdown table and draws the same figures into docs/scaling.svg; with --page both go into that page, between its two
comments that name this script. RINGWAY=FILE measures that binary instead of building one.

The figure is the CPU time of Ringway's process per request, user and system, the median of the rounds. Each round measures every
point once, odd ones in the opposite order, so that the drift of a machine hits all alike. One worker runs on core 0, load (wrk) and
origin (examples/whoami.rs) on core 1; for the comparison of one worker with two all of them share all cores. Everything stays on
127.0.0.1, and every process that this script starts ends with it. Needs two cores, and what scripts/packages.sh installs: wrk, gcc.
"""
import argparse
import collections
import contextlib
import math
import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROXY_CORE, LOAD_CORE = "0", "1"
ROUTES, CONNECTIONS, BODY_BYTES = 1000, 64, 128
# More than this is a crowd: the origin needs some seconds to take as many connections, and is given them before it counts.
CROWD, CROWD_SECS = 100, 10
# Open files asked for.
FILES = 1 << 16
START_SECS_MAX = 120
TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")
HEAD_BYTES_SMALL = 200
KIB, MIB = 1 << 10, 1 << 20
BEGIN, END = "<!-- scripts/scaling.py writes from here -->", "<!-- scripts/scaling.py writes to here -->"

Point = collections.namedtuple("Point", "series x label proxy connections head body cores")
Proxy = collections.namedtuple("Proxy", "pid port host")
Result = collections.namedtuple("Result", "micros per_sec")


def size(count):
    return next(f"{count // unit} {name}" for unit, name in [(MIB, "MiB"), (KIB, "KiB"), (1, "B")] if count >= unit)


def points(files_max):
    """All that is measured; `proxy` is the number of routes and of workers."""
    # A proxied connection takes two open files, and the proxy has some of its own.
    most = min(10_000, (files_max - 500) // 2)
    usual = dict(proxy=(ROUTES, 1), connections=CONNECTIONS, head=0, body=BODY_BYTES, cores=False)
    make = lambda series, x, label, **other: Point(series, x, label, **{**usual, **other})
    yield from (make("connections", n, f"{n:,}", connections=n) for n in [1, 10, 100, 1000, most])
    yield from (make("routes", n, f"{n:,}", proxy=(n, 1)) for n in [1, 10, 100, 1000, 10_000, 100_000])
    heads = [HEAD_BYTES_SMALL, KIB, 2 * KIB, 4 * KIB, 8 * KIB, 16 * KIB]
    yield from (make("request head", n, size(n), head=n) for n in heads)
    bodies = [128, KIB, 16 * KIB, 64 * KIB, MIB, 10 * MIB]
    yield from (make("body", n, size(n), body=n, connections=16) for n in bodies)
    yield from (make("workers", n, str(n), proxy=(ROUTES, n), cores=True) for n in [1, 2])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, core=None):
    """A process that ends with the block; what it says goes to standard error."""
    pinned = ["taskset", "-c", core, *command] if core else command
    with subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def is_answered(port, host):
    request = f"GET /bytes/1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as client:
            client.sendall(request)
            return b" 200 " in client.recv(64)
    except OSError:
        return False


def wait_until_answered(port, host):
    end = time.monotonic() + START_SECS_MAX
    while not is_answered(port, host):
        if time.monotonic() > end:
            raise SystemExit(f"scaling: nothing answers on port {port} for {host} after {START_SECS_MAX} s")
        time.sleep(0.1)


def configuration(folder, port, origin, routes):
    frontend = '[frontends.h{0}]\nbackend = "one"\n[frontends.h{0}.routes.r]\nrule = "Host:h{0}.scaling.test"\n'
    text = f"""logLevel = "WARN"
maxIdleConnsPerHost = 20000
[entryPoints.http]
address = "127.0.0.1:{port}"
[file]
[backends.one.servers.a]
url = "http://127.0.0.1:{origin}"
"""
    file = folder / f"{port}.toml"
    file.write_text(text + "".join(frontend.format(n) for n in range(routes)))
    return file


def start(stack, binary, folder, origin, tables, cores):
    """A proxy with so many routes and workers; the request goes to the host in the middle of its table."""
    routes, workers = tables
    port, host = free_port(), f"h{routes // 2}.scaling.test"
    file = configuration(folder, port, origin, routes)
    command = [binary, f"--configFile={file}", f"--workers={workers}"]
    pid = stack.enter_context(running(command, None if cores else PROXY_CORE))
    wait_until_answered(port, host)
    return Proxy(pid, port, host)


def cpu_secs(pid):
    # The name in parentheses may hold spaces; behind it the times are fields 12 and 13.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SEC


def is_crowd(point):
    return point.connections > CROWD


def ask(point, proxy, secs):
    """One run of wrk against the point's proxy: what it prints."""
    threads = 2 if point.cores else 1
    command = ["wrk", f"-t{threads}", f"-c{max(point.connections, threads)}", f"-d{secs}s", "-H", f"Host: {proxy.host}"]
    filler = point.head - HEAD_BYTES_SMALL
    # Eight fields, as cookies and tokens are; one of that size would be a special case.
    fields = [f"X-Filler-{n}: {'f' * (filler // 8 - 14)}" for n in range(8)] if filler > 0 else []
    command += [word for field in fields for word in ("-H", field)]
    command.append(f"http://127.0.0.1:{proxy.port}/bytes/{point.body}")
    pinned = command if point.cores else ["taskset", "-c", LOAD_CORE, *command]
    return subprocess.run(pinned, check=True, capture_output=True, text=True).stdout


def load(point, proxy, secs):
    if is_crowd(point):
        ask(point, proxy, CROWD_SECS)
        # Opening the connections takes a part of the run: a longer one lets it vanish.
        secs *= 3
    before, began = cpu_secs(proxy.pid), time.monotonic()
    text = ask(point, proxy, secs)
    used, lasted = cpu_secs(proxy.pid) - before, time.monotonic() - began
    requests = int(re.search(r"(\d+) requests in", text)[1])
    failed = re.search(r"Socket errors.*|Non-2xx.*", text)
    if failed or not requests:
        raise SystemExit(f"scaling: {point.series} {point.label}: {failed[0] if failed else 'no answers'}")
    return Result(used * 1e6 / requests, requests / lasted)


def raise_open_files():
    """As many as 10,000 connections need, where that is allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, FILES), max(most, FILES)))
        return max(most, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def measure(binary, rounds, secs, files_max):
    """The median of each point."""
    everything = list(points(files_max))
    results = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringway-scaling-")))
        # A crowd has a proxy and an origin of its own: what it leaves behind would slow down the next.
        key = lambda point: (point.proxy, point.cores, is_crowd(point))
        origins, proxies = {}, {}
        for point in everything:
            group = key(point)[1:]
            if group not in origins:
                origins[group] = free_port()
                command = [TARGET / "bench" / "whoami", "--port", str(origins[group])]
                stack.enter_context(running(command, None if point.cores else LOAD_CORE))
            if key(point) not in proxies:
                proxies[key(point)] = start(stack, binary, folder, origins[group], point.proxy, point.cores)
        for number in range(rounds):
            for point in everything[:: -1 if number % 2 else 1]:
                results[point].append(load(point, proxies[key(point)], secs))
    middle = lambda values, field: statistics.median(getattr(value, field) for value in values)
    return {point: Result(middle(all, "micros"), middle(all, "per_sec")) for point, all in results.items()}


def table(results):
    lines = ["| | | CPU us per request | requests/s | |", "|---|---|---|---|---|"]
    series = None
    for point, result in results.items():
        note = f"{result.micros * 1000 / (point.body / KIB):,.0f} ns per KiB" if point.series == "body" else ""
        name = point.series if point.series != series else ""
        series = point.series
        lines.append(f"| {name} | {point.label} | {result.micros:,.1f} | {result.per_sec:,.0f} | {note} |")
    return "\n".join(lines) + "\n"


def panel(left, top, series, results):
    """One chart: logarithmic to the right, from zero upwards unless the figures span more than a decade."""
    width, height = 330, 170
    chosen = [(point, result.micros) for point, result in results.items() if point.series == series]
    low, high = min(point.x for point, _ in chosen), max(point.x for point, _ in chosen)
    most, least = max(y for _, y in chosen), min(y for _, y in chosen)
    is_wide = most > 10 * least
    bottom, ceiling = (10 ** math.floor(math.log10(least)), 10 ** math.ceil(math.log10(most))) if is_wide else (0, most * 1.25)
    across = lambda x: left + width * math.log(x / low) / math.log(high / low)
    share = lambda y: math.log(y / bottom) / math.log(ceiling / bottom) if is_wide else y / ceiling
    up = lambda y: top + height * (1 - share(y))
    line = " ".join(f"{across(point.x):.1f},{up(y):.1f}" for point, y in chosen)
    yield f'<text x="{left}" y="{top - 12}" font-weight="bold">{series}</text>'
    yield f'<path d="M{left},{top} V{top + height} H{left + width}" stroke="#888" fill="none"/>'
    yield f'<polyline points="{line}" stroke="#0a6ebd" stroke-width="2" fill="none"/>'
    for point, y in chosen:
        x = across(point.x)
        yield f'<circle cx="{x:.1f}" cy="{up(y):.1f}" r="3" fill="#0a6ebd"/>'
        yield f'<text x="{x:.1f}" y="{up(y) - 8:.1f}" text-anchor="middle">{y:,.0f}</text>'
        yield f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle" fill="#555">{point.label}</text>'


def plot(results):
    names = list(dict.fromkeys(point.series for point in results if point.series != "workers"))
    parts = [part for at, name in enumerate(names) for part in panel(50 + 420 * (at % 2), 80 + 250 * (at // 2), name, results)]
    title = '<text x="50" y="30" font-size="14">CPU time per request in microseconds, one worker</text>'
    canvas = 'viewBox="0 0 850 550" font-family="sans-serif" font-size="11"'
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" {canvas}>', '<rect width="850" height="550" fill="#fff"/>', title]
    return "\n".join([*head, *parts, "</svg>\n"])


def machine(binary):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    version = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"Version:\s*(\S+)", version)[1]
    return f"Ringway {number}, kernel {os.uname().release}, {os.cpu_count()} cores, {model[1] if model else os.uname().machine}."


def build():
    """The binary to measure; the origin is compiled beside it."""
    binary = os.environ.get("RINGWAY")
    if not binary:
        subprocess.run(["cargo", "build", "--locked", "--release", "--bin", "ringway"], cwd=ROOT, check=True)
        binary = TARGET / "release" / "ringway"
    (TARGET / "bench").mkdir(parents=True, exist_ok=True)
    command = ["rustc", "--edition", "2024", "-O", "-o", TARGET / "bench" / "whoami", ROOT / "examples" / "whoami.rs"]
    subprocess.run(command, check=True)
    return binary


def into_page(page, text):
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"scaling: {page} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each point (3)")
    parser.add_argument("--secs", type=int, default=2, help="seconds of each run (2)")
    parser.add_argument("--svg", type=pathlib.Path, default=ROOT / "docs" / "scaling.svg", help="the plot (docs/scaling.svg)")
    parser.add_argument("--page", type=pathlib.Path, help="a page to write table and plot into")
    options = parser.parse_args()
    if os.cpu_count() < 2:
        raise SystemExit("scaling: two cores are needed, one for the proxy and one for the load")
    subprocess.run([ROOT / "scripts" / "packages.sh", "wrk", "gcc", "libc6-dev"], check=True, stdout=subprocess.DEVNULL)
    files_max = raise_open_files()
    binary = build()
    results = measure(binary, options.rounds, options.secs, files_max)
    options.svg.write_text(plot(results))
    text = f"{machine(binary)}\n\n{table(results)}"
    print(text)
    if options.page:
        path = os.path.relpath(options.svg, options.page.parent)
        into_page(options.page, f"{text}\n![CPU time per request against connections, routes, head and body]({path})\n")


if __name__ == "__main__":
    main()
