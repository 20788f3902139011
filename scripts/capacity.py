#!/usr/bin/env python3
"""Measures what one process carries: routes, certificates, idle connections. The figures of docs/reference/scale.md.

    scripts/capacity.py [PROGRAM, default target/release/ringway]

Starts the program on loopback once for each row, with a configuration in a temporary folder, and prints the time from the start until the last
route is served, and the resident memory. Needs openssl for the certificates.
"""

import http.client
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUTES = (1_000, 10_000, 50_000)
CERTIFICATES = (100, 1_000)
CONNECTIONS = 10_000
# Python needs 60 KiB for each of its own TLS connections.
TLS_CONNECTIONS = 2_000
DRIVERS = ("io_uring", "epoll")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Proxy:
    """The program with a configuration; ends with the block."""

    def __init__(self, program, folder, text, driver="auto"):
        self.port, self.tls_port = free_port(), free_port()
        file = folder / "ringway.toml"
        file.write_text(
            f'driver = "{driver}"\ndefaultEntryPoints = ["http", "https"]\n'
            f'[entryPoints.http]\naddress = "127.0.0.1:{self.port}"\n'
            f'[entryPoints.https]\naddress = "127.0.0.1:{self.tls_port}"\n[entryPoints.https.tls]\n[file]\n{text}'
        )
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            [program, f"--configFile={file}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

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

    def until(self, host):
        """Seconds from the start until the host has a route; its server cannot be reached, which is 502."""
        while self.status(host) != 502:
            if time.monotonic() - self.start > 120:
                sys.exit(f"no route for {host} after two minutes")
            time.sleep(0.005)
        return time.monotonic() - self.start

    def resident_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


def routes(count):
    server = free_port()
    rows = (
        f'[backends.b{n}.servers.s]\nurl = "http://127.0.0.1:{server}"\n'
        f'[frontends.f{n}]\nbackend = "b{n}"\n[frontends.f{n}.routes.r]\nrule = "Host:h{n}.test"\n'
        for n in range(count)
    )
    return "".join(rows)


def certificates(folder, count):
    key = folder / "key.pem"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True, capture_output=True
    )
    tables = []
    for n in range(count):
        file, host = folder / f"{n}.pem", f"h{n}.test"
        command = ["openssl", "req", "-x509", "-new", "-key", key, "-days", "90", "-subj", f"/CN={host}", "-out", file]
        subprocess.run([*command, "-addext", f"subjectAltName=DNS:{host}"], check=True, capture_output=True)
        tables.append(f'[[tls]]\n[tls.certificate]\ncertFile = "{file}"\nkeyFile = "{key}"\n')
    return "".join(tables)


def connect(proxy, is_tls):
    port = proxy.tls_port if is_tls else proxy.port
    link = socket.create_connection(("127.0.0.1", port))
    if is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = context.wrap_socket(link, server_hostname="h0.test")
    link.sendall(b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")
    while not link.recv(4096):
        sys.exit("a connection was closed")
    return link


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "target/release/ringway"
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in ROUTES:
            with Proxy(program, folder, routes(count)) as proxy:
                secs = proxy.until(f"h{count - 1}.test")
                print(f"{count} routes: served after {secs:.2f} s, {proxy.resident_kib() / 1024:.1f} MiB", flush=True)
        for count in CERTIFICATES:
            with Proxy(program, folder, routes(1) + certificates(folder, count)) as proxy:
                secs = proxy.until("h0.test")
                print(f"{count} certificates: {secs:.2f} s, {proxy.resident_kib() / 1024:.1f} MiB", flush=True)
        for driver in DRIVERS:
            for count, is_tls in ((CONNECTIONS, False), (TLS_CONNECTIONS, True)):
                with Proxy(program, folder, routes(1), driver) as proxy:
                    proxy.until("h0.test")
                    before = proxy.resident_kib()
                    links = [connect(proxy, is_tls) for _ in range(count)]
                    each = (proxy.resident_kib() - before) / count
                    kind = "TLS" if is_tls else "plain"
                    print(f"{driver}: {count} idle {kind} connections: {each:.2f} KiB each", flush=True)
                    for link in links:
                        link.close()


if __name__ == "__main__":
    assert os.uname().sysname == "Linux"
    main()
