"""An origin server with the pages of pages.py.

    origin.py --version 1|2 --port N [--certificate FILE --key FILE] [--no-connect-protocol]

Version 1 is PyPI h11, version 2 is PyPI h2: by prior knowledge, or by ALPN if there is a certificate. Version 2 also answers the extended
CONNECT of RFC 8441 with a WebSocket that echoes.
"""

import argparse
import socket
import ssl
import sys
import threading

import h11

import serve2
from pages import Gone, answer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", type=int, choices=(1, 2), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--no-connect-protocol", action="store_true")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        context.set_alpn_protocols(["h2", "http/1.1"] if options.version == 2 else ["http/1.1"])
    listener = socket.create_server(("127.0.0.1", options.port), backlog=512)
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=serve, args=(stream, context, options), daemon=True).start()


def serve(stream, context, options):
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if context:
            stream = context.wrap_socket(stream, server_side=True)
        is_2 = options.version == 2 and (not context or stream.selected_alpn_protocol() == "h2")
        if is_2:
            serve2.Server(stream, connect_protocol=not options.no_connect_protocol).run()
        else:
            serve_1(stream)
    except OSError as error:
        print(f"connection: {error}", file=sys.stderr)
    finally:
        stream.close()


def serve_1(stream):
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    while True:
        exchange = Exchange1(stream, machine)
        try:
            if not exchange.begin():
                return
        except h11.RemoteProtocolError as error:
            # The proxy under test sent something that is no HTTP/1.1.
            print(f"PROTOCOL ERROR: {error}", file=sys.stderr, flush=True)
            return
        answer(exchange)
        if machine.our_state is not h11.DONE or machine.their_state is not h11.DONE:
            return
        machine.start_next_cycle()


class Exchange1:
    version = "1.1"

    def __init__(self, stream, machine):
        self.stream, self.machine, self.trailers = stream, machine, []

    def begin(self):
        event = self.event()
        if not isinstance(event, h11.Request):
            return False
        self.method, self.path = event.method.decode(), event.target.decode()
        self.fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
        return True

    def event(self):
        while (event := self.machine.next_event()) is h11.NEED_DATA:
            if self.machine.they_are_waiting_for_100_continue:
                self.send(h11.InformationalResponse(status_code=100, headers=[]))
            try:
                self.machine.receive_data(self.stream.recv(65536))
            except OSError as error:
                raise Gone from error
        return event

    def read(self):
        if self.machine.their_state is not h11.SEND_BODY:
            return b""
        try:
            event = self.event()
        except h11.RemoteProtocolError as error:
            # A body that was cut, as it must be if the client has left.
            raise Gone from error
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self.trailers = [(name.decode(), value.decode()) for name, value in getattr(event, "headers", [])]
        return b""

    def send(self, event):
        try:
            self.stream.sendall(self.machine.send(event) or b"")
        except OSError as error:
            raise Gone from error

    def interim(self, status, fields):
        self.send(h11.InformationalResponse(status_code=status, headers=fields))

    def head(self, status, fields, end=False):
        self.send(h11.Response(status_code=status, headers=fields, reason="From origin"))
        if end:
            self.end()

    def write(self, data):
        self.send(h11.Data(data=data))

    def end(self, trailers=()):
        self.send(h11.EndOfMessage(headers=list(trailers)))
        while self.read():
            pass

    def stop(self):
        """Ends the response and the connection. A reset would destroy the response, so the rest is received and dropped."""
        self.send(h11.EndOfMessage())
        self.stream.shutdown(socket.SHUT_WR)
        self.stream.settimeout(5)
        try:
            while self.stream.recv(65536):
                pass
        except OSError:
            pass

    def cut(self):
        self.stream.close()


if __name__ == "__main__":
    main()
