#!/usr/bin/env python3
"""Measures the file provider with a folder of many files, of which one changes: the figures of docs/reference/scale.md.

    scripts/file-scale.py [PROGRAM, default target/release/ringway] [--files 10000] [--rounds 20]

Starts the program and a server on loopback, with one file for each route in a temporary folder. Each round replaces one file by a rename, as editors
and tools of deployment do. Prints

* start: from the start of the program until the last route is served
* served: from the rename until the first request that the new rule serves. The provider waits twice 50 ms in it, until the files have
  settled (src/control/file/settle.rs)
* recompiled: the time without these waits. The control thread does all of it, so this is the time that the thread spends on a CPU
* the resident memory, at the start and after all rounds
"""

import argparse
import http.client
import os
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WAIT_MAX_SECS = 120
# After this time the program trusts the status of an unchanged file (TRUSTED_AFTER in src/control/file/cache.rs).
OLD_ENOUGH_SECS = 3


class Answer(socketserver.BaseRequestHandler):
    """Answers one request."""

    def handle(self):
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write_route(folder, number, host, server):
    """Writes the file of a route outside the folder and moves it to its place."""
    draft = folder.parent / "draft"
    draft.write_text(
        f'[backends.b{number}.servers.s]\nurl = "http://127.0.0.1:{server}"\n'
        f'[frontends.f{number}]\nbackend = "b{number}"\n'
        f'[frontends.f{number}.routes.r]\nrule = "Host:{host}"\n'
    )
    moved = time.monotonic()
    draft.rename(folder / f"app-{number:05}.toml")
    return moved


class Proxy:
    """The program with the folder of routes; ends with the block."""

    def __init__(self, program, scratch, routes):
        self.port = free_port()
        main = scratch / "ringway.toml"
        main.write_text(
            'logLevel = "WARN"\nprovidersThrottleDuration = "0s"\ndefaultEntryPoints = ["http"]\n'
            f'[entryPoints.http]\naddress = "127.0.0.1:{self.port}"\n[file]\ndirectory = "{routes}"\nwatch = true\n'
        )
        self.start = time.monotonic()
        self.process = subprocess.Popen([program, f"--configFile={main}"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def status(self, host):
        try:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            link.request("GET", "/", headers={"Host": host})
            return link.getresponse().status
        except OSError:
            return None

    def served_after(self, host, start):
        """Milliseconds from `start` until a request for the host reaches its server."""
        while self.status(host) != 200:
            if time.monotonic() - start > WAIT_MAX_SECS:
                sys.exit(f"{host} is not served after {WAIT_MAX_SECS} s")
            time.sleep(0.001)
        return (time.monotonic() - start) * 1000

    def control_ms(self):
        """Milliseconds that the control thread has spent on a CPU."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == "control":
                return int((task / "schedstat").read_text().split()[0]) / 1e6
        sys.exit("the program has no thread named control")

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


def measure(program, count, rounds, scratch, server):
    routes = scratch / "routes"
    routes.mkdir()
    for number in range(count):
        write_route(routes, number, f"app-{number}.example.org", server)
    with Proxy(program, scratch, routes) as proxy:
        started = proxy.served_after(f"app-{count - 1}.example.org", proxy.start)
        time.sleep(OLD_ENOUGH_SECS)
        memory = proxy.resident_mib()
        print(f"{count} files: start {started:.0f} ms, {memory} MiB resident")
        served, recompiled = [], []
        # The first two rounds are not counted: the files may be too new at the first.
        for turn in range(rounds + 2):
            time.sleep(0.3)
            before = proxy.control_ms()
            host = f"changed-{turn}.example.org"
            moved = write_route(routes, turn * 7 % count, host, server)
            served.append(proxy.served_after(host, moved))
            time.sleep(0.3)
            recompiled.append(proxy.control_ms() - before)
        for name, times in (("served", served[2:]), ("recompiled", recompiled[2:])):
            print(f"{name}: median {statistics.median(times):.0f} ms, worst of {len(times)} {max(times):.0f} ms")
        print(f"after {rounds + 2} changes: {proxy.resident_mib()} MiB resident")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default="target/release/ringway")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as scratch:
        program = os.path.abspath(arguments.program)
        measure(program, arguments.files, arguments.rounds, Path(scratch), server.server_address[1])


main()
