"""A client connection of HTTP/2: PyPI h2 does the protocol and rejects what a server must not send; every frame is recorded."""

import argparse
import os
import socket
import ssl
import sys
import time
import traceback

import h2.config
import h2.connection
import h2.events
import h2.settings
import hyperframe.frame

FRAME_HEADER_BYTES = 9
GOAWAY = 7


class Failed(Exception):
    """A case found something else than it expects."""


def expect(condition, *what):
    if not condition:
        raise Failed(*what)


class Stream:
    """What has arrived on a stream."""

    def __init__(self):
        self.interim = []
        self.head = None
        self.parts = []
        self.trailers = None
        self.ended = False
        self.reset = None

    @property
    def status(self):
        return int(self.field(":status") or 0)

    @property
    def body(self):
        return b"".join(part for _, part in self.parts)

    @property
    def done(self):
        return self.ended or self.reset is not None

    def field(self, name):
        """The value of a field that the head has at most once."""
        values = [value for key, value in self.head or [] if key == name]
        expect(len(values) <= 1, name, "is there more than once", values)
        return values[0] if values else None

    def __repr__(self):
        return (
            f"Stream(interim={self.interim}, head={self.head}, body={len(self.body)} bytes {self.body[:200]!r}, "
            f"trailers={self.trailers}, ended={self.ended}, reset={self.reset})"
        )


class Link:
    """The connection. GOAWAY is kept from h2, which takes it for the end of the connection although streams go on (RFC 9113 6.8)."""

    def __init__(self, port, ca=None, name="a.test", offers=("h2",), settings=None, credit=True, host="127.0.0.1"):
        self.name, self.secure, self.credit = name, ca is not None, credit
        self.socket = socket.create_connection((host, port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(list(offers))
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
            expect(self.socket.selected_alpn_protocol() == "h2", "ALPN chose", self.socket.selected_alpn_protocol())
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        no_push = {h2.settings.SettingCodes.ENABLE_PUSH: 0}
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=no_push | (settings or {}))
        self.h2.initiate_connection()
        self.streams, self.goaways, self.pongs, self.frames = {}, [], [], []
        self.has_settings, self.closed, self.rest = False, False, b""
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def open(self, path, method="GET", fields=(), end=True, pseudo=()):
        """Sends a request's head; returns the id of the stream."""
        scheme = "https" if self.secure else "http"
        head = [(":method", method), (":scheme", scheme), (":authority", self.name), (":path", path)]
        return self.open_with([*head, *pseudo, *fields], end)

    def open_with(self, head, end=True):
        stream_id = self.h2.get_next_available_stream_id()
        self.streams[stream_id] = Stream()
        self.h2.send_headers(stream_id, head, end_stream=end)
        self.flush()
        return stream_id

    def send(self, stream_id, data=b"", end=False, trailers=None):
        """Sends data within the windows, then the end, or the trailers that are the end."""
        while data:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            stream = self.streams[stream_id]
            expect(not stream.done, "the stream ended before all was sent", stream)
            if room == 0:
                self.receive(20)
                continue
            part, data = data[:room], data[room:]
            self.h2.send_data(stream_id, part, end_stream=end and not data and trailers is None)
            self.flush()
            end = end and bool(data)
        if trailers is not None:
            self.h2.send_headers(stream_id, trailers, end_stream=True)
        elif end:
            self.h2.end_stream(stream_id)
        self.flush()

    def reset(self, stream_id, code=8):
        self.h2.reset_stream(stream_id, code)
        self.flush()

    def get(self, path, **options):
        """A whole exchange without a body."""
        return self.wait(self.open(path, **options))

    def post(self, path, body, fields=(), trailers=None, **options):
        stream_id = self.open(path, method="POST", fields=fields, end=False, **options)
        self.send(stream_id, body, end=True, trailers=trailers)
        return self.wait(stream_id)

    def wait(self, *stream_ids, seconds=20):
        """Receives until the streams have ended; returns the first."""
        self.until(lambda: all(self.streams[one].done for one in stream_ids), seconds, f"streams {stream_ids} end")
        return self.streams[stream_ids[0]]

    def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            expect(not self.closed, "the connection was closed before:", what, self)
            left = end - time.monotonic()
            expect(left > 0, f"after {seconds} s still not:", what, self)
            self.receive(left)

    def until_closed(self, seconds):
        end = time.monotonic() + seconds
        while not self.closed:
            left = end - time.monotonic()
            expect(left > 0, f"the connection is still open after {seconds} s", self)
            self.receive(left)

    def receive(self, seconds):
        """Takes what arrives within the time, at least one read; nothing if nothing arrives."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        self.rest += data
        while (frame := self.next_frame()) is not None:
            self.take(frame)
        self.flush()

    def next_frame(self):
        if len(self.rest) < FRAME_HEADER_BYTES:
            return None
        header, length = hyperframe.frame.Frame.parse_frame_header(memoryview(self.rest[:FRAME_HEADER_BYTES]))
        if len(self.rest) < FRAME_HEADER_BYTES + length:
            return None
        raw, self.rest = self.rest[: FRAME_HEADER_BYTES + length], self.rest[FRAME_HEADER_BYTES + length :]
        header.parse_body(memoryview(raw[FRAME_HEADER_BYTES:]))
        self.frames.append((type(header).__name__, header.stream_id, length, sorted(header.flags)))
        if raw[3] == GOAWAY:
            self.goaways.append((header.last_stream_id, header.error_code, time.monotonic()))
            return b""
        return raw

    def take(self, raw):
        for event in self.h2.receive_data(raw):
            stream = self.streams.get(getattr(event, "stream_id", None) or 0)
            match event:
                case h2.events.RemoteSettingsChanged():
                    self.has_settings = True
                case h2.events.PingAckReceived():
                    self.pongs.append(event.ping_data)
                case h2.events.InformationalResponseReceived():
                    stream.interim.append(event.headers)
                case h2.events.ResponseReceived():
                    expect(stream.head is None, "a second final head", stream)
                    stream.head = event.headers
                case h2.events.DataReceived():
                    stream.parts.append((time.monotonic(), event.data))
                    if self.credit and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.TrailersReceived():
                    stream.trailers = event.headers
                case h2.events.StreamEnded():
                    stream.ended = True
                case h2.events.StreamReset():
                    stream.reset = int(event.error_code)

    def frames_of(self, stream_id):
        return [(name, flags) for name, of, _, flags in self.frames if of == stream_id]

    def close(self):
        self.socket.close()

    def __repr__(self):
        return f"Link(streams={self.streams}, goaways={self.goaways}, closed={self.closed}, last frames={self.frames[-8:]})"


def cases_of(module):
    """The functions of a module whose only argument is the target, by name."""
    codes = {name: getattr(value, "__code__", None) for name, value in vars(module).items()}
    is_case = {name for name, code in codes.items() if code and code.co_argcount == 1 and code.co_varnames[:1] == ("target",)}
    return {name: value for name, value in vars(module).items() if name in is_case}


def run_cases(make_target, options=()):
    """Runs the cases that the command line names; ends with 1 if one failed, with the reason of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca")
    for name in options:
        parser.add_argument(name, type=int)
    parser.add_argument("case", nargs="+")
    arguments = parser.parse_args()
    cases, failed = cases_of(sys.modules["__main__"]), []
    for name in arguments.case:
        if name not in cases:
            raise SystemExit(f"no case {name}; there are: {' '.join(cases)}")
        try:
            cases[name](make_target(arguments))
            print(f"passed: {name}", flush=True)
        except Exception:
            traceback.print_exc()
            print(f"FAILED: {name}", file=sys.stderr, flush=True)
            failed.append(name)
    sys.stderr.flush()
    # Threads of abandoned calls must not hold the process up.
    os._exit(1 if failed else 0)
