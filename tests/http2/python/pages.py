"""The pages of the origin servers, the same for HTTP/1.1 and HTTP/2.

An exchange has: version, method, path, fields; read() for the next part of the body, b"" at its end; trailers after that;
interim(status, fields), head(status, fields, end=False), write(data), end(trailers=()), stop() for an early end without the rest of the
request's body, cut() for a failure in the middle. They raise Gone once the client has left.
"""

import json
import threading
import time


class Gone(Exception):
    """The client has left."""


class Counter:
    def __init__(self):
        self.lock, self.value = threading.Lock(), 0

    def add(self):
        with self.lock:
            self.value += 1


gone, requests = Counter(), Counter()


def pattern(size):
    """A body that reveals lost or swapped bytes."""
    block = bytes(range(251))
    return (block * (size // 251 + 1))[:size]


def answer(exchange):
    requests.add()
    words = exchange.path.split("?")[0].strip("/").split("/")
    page = PAGES.get(words[0], describe)
    try:
        page(exchange, *words[1:])
    except Gone:
        gone.add()


def text(exchange, body, status=200, fields=()):
    body = body if isinstance(body, bytes) else body.encode()
    exchange.head(status, [("content-length", str(len(body))), *fields])
    if exchange.method != "HEAD":
        exchange.write(body)
    exchange.end()


def read_all(exchange):
    return b"".join(iter(exchange.read, b""))


def describe(exchange, *_):
    body = read_all(exchange)
    request = {"version": exchange.version, "method": exchange.method, "path": exchange.path, "fields": exchange.fields}
    request.update(body=len(body), trailers=exchange.trailers)
    text(exchange, json.dumps(request), fields=[("content-type", "application/json")])


def body_of_size(exchange, size):
    text(exchange, pattern(int(size)))


def echo(exchange):
    exchange.head(200, [])
    while part := exchange.read():
        exchange.write(part)
    exchange.end([(f"echo-{name}", value) for name, value in exchange.trailers])


def trailers(exchange, *_):
    read_all(exchange)
    exchange.head(200, [("trailer", "checksum, grpc-status")])
    exchange.write(b"with trailers")
    exchange.end([("checksum", "abc"), ("grpc-status", "0")])


def hints(exchange):
    exchange.interim(103, [("link", "</style.css>; rel=preload")])
    exchange.interim(103, [("link", "</script.js>; rel=preload")])
    time.sleep(0.1)
    text(exchange, "page")


def early(exchange, status):
    """A final response before the request's body, which is not read."""
    body = b"too large"
    exchange.head(int(status), [("content-length", str(len(body)))])
    exchange.write(body)
    exchange.stop()


def status(exchange, number, *_):
    read_all(exchange)
    if number in ("204", "304"):
        exchange.head(int(number), [("etag", '"one"')], end=True)
    else:
        text(exchange, f"status {number}", int(number))


def redirect(exchange, *_):
    text(exchange, "", 302, [("location", "/target")])


def cookies(exchange):
    text(exchange, "cookies", fields=[("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/; Secure")])


def events(exchange, number, millis):
    exchange.head(200, [("content-type", "text/event-stream"), ("cache-control", "no-cache")])
    for n in range(int(number)):
        time.sleep(int(millis) / 1000)
        exchange.write(b"data: %d %.6f\n\n" % (n, time.time()))
    exchange.end()


def drip(exchange, number, millis):
    """A body of a known length that arrives in pieces."""
    exchange.head(200, [("content-length", str(10 * int(number)))])
    for n in range(int(number)):
        exchange.write(b"%09d\n" % n)
        time.sleep(int(millis) / 1000)
    exchange.end()


def slow(exchange, millis):
    time.sleep(int(millis) / 1000)
    text(exchange, "slow")


def cut(exchange):
    exchange.head(200, [("content-length", "1000")])
    exchange.write(b"only this")
    time.sleep(0.2)
    exchange.cut()


def counts(exchange, *_):
    text(exchange, json.dumps({"gone": gone.value, "requests": requests.value}))


def many(exchange, number):
    """A page with that many images."""
    images = "".join(f'<img src="/picture/{n}.svg" width="8" height="8">' for n in range(int(number)))
    text(exchange, f"<!doctype html><title>many</title>{images}", fields=[("content-type", "text/html")])


def picture(exchange, *_):
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'
    text(exchange, drawing, fields=[("content-type", "image/svg+xml"), ("cache-control", "no-store")])


PAGES = {
    "bytes": body_of_size,
    "cookies": cookies,
    "counts": counts,
    "cut": cut,
    "drip": drip,
    "early": early,
    "echo": echo,
    "events": events,
    "hints": hints,
    "many": many,
    "picture": picture,
    "redirect": redirect,
    "slow": slow,
    "status": status,
    "trailers": trailers,
}
