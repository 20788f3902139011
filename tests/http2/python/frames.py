"""Cases of an HTTP/2 client that sees every frame.

    frames.py --port N [--ca FILE] [--pid N] CASE...

With --ca over TLS. The server behind the proxy is origin.py. --pid is the proxy's process, for the cases that end it.
"""

import json
import os
import signal
import time

import h2.settings

from link import Link, expect, run_cases
from pages import pattern

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL = 0, 1, 2, 8
LAST_STREAM_ID = 2**31 - 1


class Target:
    """The proxy under test."""

    def __init__(self, options):
        self.port, self.ca, self.pid = options.port, options.ca, options.pid

    def link(self, **options):
        return Link(self.port, ca=self.ca, **options)

    def seen(self, **options):
        """The request as the server got it."""
        return request_of(self.link().get("/seen", **options))

    def count(self, name):
        return json.loads(self.link().get("/counts").body)[name]


def request_of(stream):
    expect(stream.status == 200 and stream.ended, stream)
    return json.loads(stream.body)


def values(request, name):
    return [value for key, value in request["fields"] if key.lower() == name]


# Messages.


def get_reaches_the_server(target):
    request = target.seen(fields=[("accept", "text/plain"), ("x-mixed", "Case kept")])
    expect(request["method"] == "GET" and request["path"] == "/seen" and request["body"] == 0, request)
    expect(values(request, "host") == ["a.test"], request)
    expect(values(request, "x-mixed") == ["Case kept"], request)
    expect(values(request, "x-forwarded-proto") == ["https" if target.ca else "http"], request)
    expect(values(request, "x-forwarded-host") == ["a.test"], request)


def cookies_are_joined(target):
    request = target.seen(fields=[("cookie", "a=1"), ("cookie", "b=2"), ("x-between", "1"), ("cookie", "c=3")])
    expect(values(request, "cookie") == ["a=1; b=2; c=3"], request)


def set_cookies_stay_apart(target):
    stream = target.link().get("/cookies")
    cookies = [value for name, value in stream.head if name == "set-cookie"]
    expect(cookies == ["a=1; Path=/", "b=2; Path=/; Secure"], stream)


def response_names_are_of_http2(target):
    """PyPI h2 rejects upper case and fields of the connection; this looks again."""
    for path in ("/", "/echo", "/bytes/70000", "/status/404"):
        stream = target.link().get(path)
        for name, _ in stream.head:
            expect(name == name.lower(), stream.head)
            expect(name not in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"), stream.head)


def head_and_empty_statuses_have_no_data(target):
    link = target.link()
    head = link.open("/bytes/1000", method="HEAD")
    expect(link.wait(head).field("content-length") == "1000", link)
    for number in (204, 304):
        empty = link.get(f"/status/{number}")
        expect(empty.status == number and empty.field("etag") == '"one"', empty)
        expect(empty.field("content-length") is None, empty)
    expect(not any(name == "DataFrame" and length for name, _, length, _ in link.frames), link.frames)


def trailers_pass_both_ways(target):
    link = target.link()
    stream = link.get("/trailers", fields=[("te", "trailers")])
    expect(stream.body == b"with trailers" and stream.ended, stream)
    expect(stream.trailers == [("checksum", "abc"), ("grpc-status", "0")], stream)
    stream = link.post("/echo", b"up and down", fields=[("te", "trailers")], trailers=[("digest", "xyz")])
    expect(stream.body == b"up and down" and stream.trailers == [("echo-digest", "xyz")], stream)
    # Trailers without any data before them.
    stream = link.post("/echo", b"", fields=[("te", "trailers")], trailers=[("digest", "none")])
    expect(stream.body == b"" and stream.trailers == [("echo-digest", "none")], stream)


def early_hints_pass(target):
    stream = target.link().get("/hints")
    hints = [dict(head) for head in stream.interim]
    expect([hint[":status"] for hint in hints] == ["103", "103"], stream)
    expect([hint["link"] for hint in hints] == ["</style.css>; rel=preload", "</script.js>; rel=preload"], stream)
    expect(stream.status == 200 and stream.body == b"page", stream)


def expectation_gets_100(target):
    link = target.link()
    one = link.open("/echo", method="POST", fields=[("expect", "100-continue"), ("content-length", "5")], end=False)
    stream = link.streams[one]
    link.until(lambda: stream.interim or stream.head, 10, "100 or a final head")
    expect(dict(stream.interim[0])[":status"] == "100" if stream.interim else stream.status == 200, stream)
    link.send(one, b"hello", end=True)
    link.wait(one)
    expect(stream.status == 200 and stream.body == b"hello", stream)


def content_length_is_kept(target):
    stream = target.link().get("/bytes/5")
    expect(stream.field("content-length") == "5" and stream.body == pattern(5), stream)
    link = target.link()
    stream = link.post("/seen", b"12345", fields=[("content-length", "5")])
    request = request_of(stream)
    expect(values(request, "content-length") == ["5"] and request["body"] == 5, request)


def connect_is_refused(target):
    link = target.link()
    stream = link.wait(link.open_with([(":method", "CONNECT"), (":authority", "a.test:443")]))
    expect(stream.status in (405, 501), stream)


# Streams beside each other.


def streams_run_side_by_side(target):
    link = target.link()
    begin = time.monotonic()
    streams = [link.open("/slow/500") for _ in range(50)]
    link.wait(*streams)
    took = time.monotonic() - begin
    expect(all(link.streams[one].body == b"slow" for one in streams), link)
    expect(took < 5, f"50 streams of half a second took {took:.1f} s")


def many_streams_one_after_the_other(target):
    link = target.link()
    for n in range(300):
        stream = link.get(f"/bytes/{n}")
        expect(stream.status == 200 and stream.body == pattern(n), n, stream)
        del link.frames[:]
        link.streams.clear()
    expect(not link.goaways, link)


def large_bodies_pass_both_ways(target):
    link, size = target.link(), 2_000_000
    down = link.get(f"/bytes/{size}")
    expect(down.status == 200 and down.body == pattern(size), down)
    echoed = link.post("/echo", pattern(size))
    expect(echoed.status == 200 and echoed.body == pattern(size), echoed)


def windows_are_kept(target):
    """With small windows and no credit no more than a window arrives; PyPI h2 fails where one is exceeded."""
    small = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000}
    link = target.link(settings=small, credit=False)
    one, two = link.open("/bytes/50000"), link.open("/bytes/200")
    link.wait(two)
    stream = link.streams[one]
    link.until(lambda: len(stream.body) >= 1000, 10, "a window of data")
    quiet = time.monotonic() + 0.5
    while time.monotonic() < quiet:
        link.receive(0.1)
    expect(len(stream.body) == 1000 and not stream.done, stream)
    link.credit = True
    link.h2.acknowledge_received_data(1000, one)
    link.flush()
    link.wait(one)
    expect(stream.body == pattern(50000), stream)


def reset_reaches_the_server(target):
    link = target.link()
    before = target.count("gone")
    one, other = link.open("/events/1000/20"), link.open("/drip/10/50")
    link.until(lambda: len(link.streams[one].body) > 0, 10, "an event")
    link.reset(one, CANCEL)
    end = time.monotonic() + 10
    while target.count("gone") == before:
        expect(time.monotonic() < end, "the server does not see that its client has left")
        time.sleep(0.1)
    # The other stream of the connection is not concerned.
    expect(len(link.wait(other).body) == 100, link)


def cut_response_is_a_reset(target):
    link = target.link()
    one, other = link.open("/cut"), link.open("/drip/10/50")
    stream = link.wait(one, other)
    expect(stream.body == b"only this" and stream.reset == INTERNAL_ERROR and not stream.ended, stream)
    expect(len(link.streams[other].body) == 100 and link.streams[other].ended, link)


def early_response_stops_the_upload(target):
    link = target.link()
    one = link.open("/early/413", method="POST", end=False)
    stream = link.streams[one]
    for _ in range(3):
        link.send(one, bytes(10_000))
    link.until(lambda: stream.done and (stream.reset is not None), 10, "the response and RST_STREAM")
    expect(stream.status == 413 and stream.body == b"too large" and stream.ended, stream)
    expect(stream.reset == NO_ERROR, stream)
    expect(link.get("/bytes/3").body == pattern(3), link)


def events_arrive_at_once(target):
    """Server-sent events, whose text has the time when they were sent, while the response stays open."""
    link = target.link()
    one = link.open("/events/6/300")
    late = []
    stream = link.streams[one]
    for n in range(6):
        link.until(lambda: stream.body.count(b"\n\n") > n, 10, f"event {n}")
        late.append(time.time() - float(stream.body.split(b"\n\n")[n].split()[2]))
        expect(not stream.ended or n == 5, stream)
    expect(sorted(late)[2] < 0.1 and max(late) < 0.28, "seconds after they were sent:", late)


def ping_is_answered(target):
    link = target.link()
    link.h2.ping(b"12345678")
    link.flush()
    link.until(lambda: link.pongs == [b"12345678"], 10, "an answer to PING")


# Ends of connections.


def open_streams(link):
    """Streams of several kinds: one that ends when the client says so, the others within three seconds."""
    upload = link.open("/echo", method="POST", end=False)
    link.send(upload, b"first")
    drips = [link.open("/drip/30/100") for _ in range(20)]
    slow = [link.open("/slow/2500") for _ in range(10)]
    link.until(lambda: all(link.streams[one].head for one in [upload, *drips]), 10, "the streams have begun")
    return upload, drips, slow


def check_streams(link, upload, drips, slow):
    link.send(upload, b" and last", end=True)
    link.wait(upload, *drips, *slow)
    for one in drips:
        expect(len(link.streams[one].body) == 300 and link.streams[one].ended, link.streams[one])
    for one in slow:
        expect(link.streams[one].body == b"slow" and link.streams[one].ended, link.streams[one])
    expect(link.streams[upload].body == b"first and last", link.streams[upload])


def check_goaways(link, highest):
    """First the highest id there is, so that no request under way is refused, then the true last one (RFC 9113 6.8)."""
    expect(link.goaways, "there was no GOAWAY", link)
    expect(all(code == NO_ERROR for _, code, _ in link.goaways), link.goaways)
    ids = [last for last, _, _ in link.goaways]
    expect(ids == sorted(ids, reverse=True), "ids of GOAWAY rise", ids)
    expect(len(ids) >= 2 and ids[0] == LAST_STREAM_ID, "no announcement before the last GOAWAY", ids)
    expect(highest <= ids[-1] < LAST_STREAM_ID, ids, highest)


def stop_loses_no_stream(target):
    end_of_process(target, signal.SIGTERM)


def handover_loses_no_stream(target):
    end_of_process(target, signal.SIGUSR2)
    expect(target.link().get("/bytes/3").body == pattern(3), "the new process does not serve")


def end_of_process(target, name):
    link, idle = target.link(), target.link()
    expect(idle.get("/bytes/3").status == 200, idle)
    kept = open_streams(link)
    os.kill(target.pid, name)
    link.until(lambda: link.goaways, 60, "GOAWAY after the signal")
    # This request and GOAWAY cross: it is served, or it is above the last id.
    late = link.open("/bytes/4")
    check_streams(link, *kept)
    if not link.streams[late].done:
        link.until_closed(20)
    last = link.goaways[-1][0]
    expect(link.streams[late].body == pattern(4) or late > last, "a stream was lost", link.streams[late], link.goaways)
    link.until_closed(20)
    check_goaways(link, max(kept[0], *kept[1], *kept[2]))
    # A hand-over keeps a connection without a request for ten seconds more.
    idle.until_closed(40)
    check_goaways(idle, 1)


def idle_connection_gets_goaway(target):
    """The idle time-out of the entry point is one second."""
    link = target.link()
    begin = time.monotonic()
    # A stream under way is no idleness, and the time begins again with its end.
    expect(link.get("/slow/2500").body == b"slow", link)
    served = time.monotonic()
    expect(served - begin > 2.4 and not link.goaways, link)
    link.until_closed(15)
    expect(0.5 < time.monotonic() - served < 10, "closed after", time.monotonic() - served)
    expect(link.goaways and link.goaways[-1][:2] == (1, NO_ERROR), link.goaways)


if __name__ == "__main__":
    run_cases(Target, ["--pid"])
