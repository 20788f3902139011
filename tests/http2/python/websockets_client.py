"""Cases of a WebSocket client: over HTTP/1.1 with PyPI websockets, over HTTP/2 (RFC 8441) with PyPI h2 and wsproto. The server echoes.

    websockets_client.py --port N [--ca FILE] CASE...
"""

import ssl
import time

import websockets.sync.client
import wsproto.connection
import wsproto.events
import wsproto.extensions

from link import Link, expect, run_cases

TEXT = "a text that deflates, deflates, deflates " * 100


class Target:
    def __init__(self, options):
        self.port, self.ca = options.port, options.ca

    def classic(self, **options):
        """A WebSocket over HTTP/1.1."""
        context = None
        if self.ca:
            context = ssl.create_default_context(cafile=self.ca)
            options["server_hostname"] = "a.test"
        address = f"{'wss' if self.ca else 'ws'}://127.0.0.1:{self.port}/ws"
        return websockets.sync.client.connect(address, ssl=context, open_timeout=10, close_timeout=10, **options)

    def tunnel(self, link=None, **options):
        return Tunnel(link or Link(self.port, ca=self.ca), **options)


class Tunnel:
    """A WebSocket on a stream."""

    def __init__(self, link, offer=None, path="/ws", fields=()):
        self.link, self.taken, self.events = link, 0, []
        link.until(lambda: link.has_settings, 10, "the server's SETTINGS")
        expect(allows_websockets(link), "SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1")
        sent = [("sec-websocket-version", "13"), ("origin", "https://a.test"), *fields]
        if offer:
            sent.append(("sec-websocket-extensions", offer))
        self.id = link.open(path, method="CONNECT", pseudo=[(":protocol", "websocket")], fields=sent, end=False)
        self.stream = link.streams[self.id]
        link.until(lambda: self.stream.head or self.stream.done, 10, "a response to CONNECT")
        self.accepted = self.stream.field("sec-websocket-extensions")
        extensions = []
        if self.accepted:
            deflate = wsproto.extensions.PerMessageDeflate()
            deflate.finalize(self.accepted)
            extensions.append(deflate)
        self.machine = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT, extensions)

    def send(self, event):
        self.link.send(self.id, self.machine.send(event))

    def next_event(self, seconds=10):
        """The next message, its fragments joined, or another event."""
        parts = []
        while True:
            self.link.until(lambda: self.events or self.take(), seconds, "an event of the WebSocket")
            event = self.events.pop(0)
            if not isinstance(event, (wsproto.events.TextMessage, wsproto.events.BytesMessage)):
                return event
            parts.append(event.data)
            if event.message_finished:
                return type(event)(data=type(event.data)().join(parts))

    def take(self):
        data = self.stream.body[self.taken :]
        self.taken += len(data)
        self.machine.receive_data(data)
        self.events += list(self.machine.events())
        return bool(self.events)


def allows_websockets(link):
    return link.h2.remote_settings.enable_connect_protocol == 1


def check_response(tunnel):
    stream = tunnel.stream
    expect(stream.status == 200 and not stream.done, stream)
    for name in ("sec-websocket-accept", "upgrade", "connection"):
        expect(stream.field(name) is None, stream)


def echo_over_http2(target):
    tunnel = target.tunnel()
    check_response(tunnel)
    for message in ("first", TEXT, "é☺\U0001f608", ""):
        tunnel.send(wsproto.events.TextMessage(data=message))
        expect(tunnel.next_event().data == message, message[:20])
    for size in (1, 125, 126, 65535, 65536, 1_000_000):
        tunnel.send(wsproto.events.BytesMessage(data=bytes(size)))
        expect(tunnel.next_event().data == bytes(size), size)
    tunnel.send(wsproto.events.Ping(payload=b"ping"))
    pong = tunnel.next_event()
    expect(isinstance(pong, wsproto.events.Pong) and pong.payload == b"ping", pong)


def every_message_is_passed_at_once(target):
    tunnel = target.tunnel()
    for n in range(200):
        begin = time.monotonic()
        tunnel.send(wsproto.events.TextMessage(data=str(n)))
        expect(tunnel.next_event().data == str(n), n)
        expect(time.monotonic() - begin < 1, "a message was held back")


def deflate_is_agreed_end_to_end(target):
    tunnel = target.tunnel(offer="permessage-deflate; client_max_window_bits")
    check_response(tunnel)
    expect(tunnel.accepted and tunnel.accepted.startswith("permessage-deflate"), tunnel.stream)
    before = tunnel.taken
    tunnel.send(wsproto.events.TextMessage(data=TEXT))
    expect(tunnel.next_event().data == TEXT)
    expect(tunnel.taken - before < len(TEXT) / 4, "the message came without compression", tunnel.taken - before)


def close_codes_pass(target):
    for code, reason in ((1000, ""), (1001, "leaving"), (4321, "own code")):
        tunnel = target.tunnel()
        tunnel.send(wsproto.events.CloseConnection(code=code, reason=reason))
        event = tunnel.next_event()
        expect(isinstance(event, wsproto.events.CloseConnection), event)
        expect((event.code, event.reason or "") == (code, reason), event)
        if not tunnel.stream.done:
            tunnel.link.send(tunnel.id, end=True)
        tunnel.link.wait(tunnel.id, seconds=10)
        expect(tunnel.stream.ended, tunnel.stream)


def other_streams_go_on(target):
    link = Link(target.port, ca=target.ca)
    tunnels = [target.tunnel(link) for _ in range(10)]
    page = link.open("/http")
    for n, tunnel in enumerate(tunnels):
        tunnel.send(wsproto.events.TextMessage(data=f"tunnel {n}"))
    for n, tunnel in reversed(list(enumerate(tunnels))):
        expect(tunnel.next_event().data == f"tunnel {n}", n)
    link.wait(page)
    link.reset(tunnels[0].id)
    tunnels[1].send(wsproto.events.TextMessage(data="still here"))
    expect(tunnels[1].next_event().data == "still here")


def reset_closes_the_tunnel(target):
    """The server sees that its client has left; a new tunnel can be opened on the same connection."""
    link = Link(target.port, ca=target.ca)
    for _ in range(5):
        tunnel = target.tunnel(link)
        tunnel.send(wsproto.events.TextMessage(data="here"))
        expect(tunnel.next_event().data == "here")
        link.reset(tunnel.id)
    tunnel = target.tunnel(link)
    tunnel.send(wsproto.events.TextMessage(data="again"))
    expect(tunnel.next_event().data == "again")


def server_without_websockets_gives_502(target):
    """The server speaks HTTP/2 and does not announce the extended CONNECT."""
    tunnel = target.tunnel()
    expect(tunnel.stream.status == 502, tunnel.stream)


def page_instead_of_a_websocket_passes(target):
    """The server answers with an ordinary response."""
    tunnel = target.tunnel(path="/refused")
    tunnel.link.until(lambda: tunnel.stream.done, 10, "the end of the response")
    expect(tunnel.stream.status in (400, 403, 404, 426), tunnel.stream)


def classic_echo(target):
    with target.classic() as socket:
        for message in ("first", TEXT, b"\x00\xff" * 50_000, ""):
            socket.send(message)
            expect(socket.recv(timeout=10) == message, message[:20])
        expect(socket.protocol.extensions, "permessage-deflate was not agreed on")
        socket.close(4321, "own code")
    expect(socket.protocol.close_rcvd.code == 4321, socket.protocol.close_rcvd)


def classic_over_tls_is_http1(target):
    """A client that offers http/1.1 alone gets it, and WebSockets beside HTTP/2."""
    context = ssl.create_default_context(cafile=target.ca)
    context.set_alpn_protocols(["http/1.1"])
    address = f"wss://127.0.0.1:{target.port}/ws"
    with websockets.sync.client.connect(address, ssl=context, server_hostname="a.test", open_timeout=10) as socket:
        expect(socket.socket.selected_alpn_protocol() == "http/1.1")
        socket.send("over TLS")
        expect(socket.recv(timeout=10) == "over TLS")


if __name__ == "__main__":
    run_cases(Target)
