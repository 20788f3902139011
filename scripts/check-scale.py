#!/usr/bin/env python3
"""Measures `ringway check --docker` over many containers and routes, and prints the median.

    scripts/check-scale.py [--containers N] [--routes N] [--rounds N] [--mistakes] [--bound SECS] [PROGRAM]

PROGRAM is target/release/ringway if it is not given. The Docker Engine is a script on a unix socket in a temporary folder, and the routes are a
file beside it. Nothing else is needed. With --mistakes each route and each container has one. The exit code is 1 if the check finds another number
of mistakes than there are, or if --bound is given and the median is above it.
"""

import argparse
import json
import os
import shutil
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A Docker Engine with one network and running containers, as the API describes them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path, containers, has_mistakes):
        self.bodies = {
            "/version": {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux"},
            "/info": {"ID": "scripted", "Containers": containers, "Swarm": {"LocalNodeState": "inactive"}},
            "/networks": [],
            "/containers/json": [{"Id": f"{n:064x}", "Names": [f"/c{n}"]} for n in range(containers)],
        }
        for n in range(containers):
            self.bodies[f"/containers/{n:064x}/json"] = container(n, has_mistakes)
        self.bodies = {path: json.dumps(body).encode() for path, body in self.bodies.items()}
        super().__init__(path, Handler)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


def container(n, has_mistakes):
    matcher = "Hots" if has_mistakes else "Host"
    address = f"172.{16 + n // 62500}.{n // 250 % 250}.{n % 250 + 2}"
    return {
        "Id": f"{n:064x}",
        "Name": f"/c{n}",
        "State": {"Status": "running", "Running": True},
        "Config": {"Labels": {"traefik.frontend.rule": f"{matcher}:c{n}.test", "traefik.port": "80"}},
        "HostConfig": {"NetworkMode": "web"},
        "NetworkSettings": {
            "Ports": {"80/tcp": None},
            "Networks": {"web": {"NetworkID": "web", "IPAddress": address}},
        },
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        body = self.server.bodies.get(path)
        if path == "/containers/json" and "filters=" in query:
            body = b"[]"  # stopped containers are asked for with a filter
        self.send_response(404 if body is None else 200)
        body = body or b'{"message":"no such object"}'
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


def write_files(folder, routes, has_mistakes):
    (folder / "traefik.toml").write_text(
        '[entryPoints.http]\naddress = ":8000"\n[file]\nfilename = "routes.toml"\n'
        f'[docker]\nendpoint = "unix://{folder}/engine.sock"\n'
    )
    missing = "x" if has_mistakes else ""
    with open(folder / "routes.toml", "w") as file:
        for n in range(routes):
            url = f"http://10.{n // 62500}.{n // 250 % 250}.{n % 250 + 1}:80"
            file.write(f'[backends.b{n}.servers.s]\nurl = "{url}"\n[frontends.f{n}]\nbackend = "{missing}b{n}"\n')
            file.write(f'[frontends.f{n}.routes.r]\nrule = "Host:h{n // 3}.test;PathPrefix:/p{n % 3}"\n')


def measure(program, folder, arguments, mistakes):
    """The seconds of one run, and of processor time of the check alone."""
    before, start = os.times(), time.monotonic()
    command = [program, "check", "--configFile=traefik.toml", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took, after = time.monotonic() - start, os.times()
    found = result.stdout.count("error[")
    if found != mistakes or result.returncode != (1 if mistakes else 0):
        sys.exit(f"{found} mistakes, exit code {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return took, used


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=1_000)
    parser.add_argument("--routes", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mistakes", action="store_true", help="each route and each container has a mistake")
    parser.add_argument("--bound", type=float, help="the exit code is 1 if the median takes more seconds")
    parser.add_argument("program", nargs="?", default="target/release/ringway")
    given = parser.parse_args()
    program = shutil.which(given.program)
    if program is None:
        sys.exit(f"{given.program} is no program: build it, or name another one")
    program = os.path.abspath(program)
    medians = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, given.routes, given.mistakes)
        with Engine(str(folder / "engine.sock"), given.containers, given.mistakes):
            for arguments in ([], ["--docker"]):
                objects = given.routes + (given.containers if arguments else 0)
                mistakes = objects if given.mistakes else 0
                rounds = [measure(program, folder, arguments, mistakes) for _ in range(given.rounds)]
                median = medians[bool(arguments)] = statistics.median(took for took, _ in rounds)
                used = statistics.median(used for _, used in rounds)
                what = f"{given.containers} containers and {given.routes} routes" if arguments else f"{given.routes} routes"
                print(f"check of {what}: median {median:.3f} s, processor time {used:.3f} s, {given.rounds} rounds")
    if given.bound is not None and medians[True] > given.bound:
        sys.exit(f"{medians[True]:.3f} s is above the bound of {given.bound} s")


if __name__ == "__main__":
    main()
