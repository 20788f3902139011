"""The server side of HTTP/2 on PyPI h2, a thread for each stream."""

import queue
import sys
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import wsproto.connection
import wsproto.events
import wsproto.extensions

from pages import Gone, answer

STREAMS_MAX = 100
# In a queue of data: the message has ended.
END = (b"", None)


class Server:
    def __init__(self, stream, connect_protocol=True):
        self.stream, self.changed = stream, threading.Condition()
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        changes = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX}
        if connect_protocol:
            changes[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=changes)
        self.exchanges = {}
        self.closed = False

    def run(self):
        with self.changed:
            self.h2.initiate_connection()
            self.flush()
        try:
            while data := self.stream.recv(65536):
                with self.changed:
                    for event in self.h2.receive_data(data):
                        self.take(event)
                    self.flush()
                    self.changed.notify_all()
        except h2.exceptions.ProtocolError as error:
            # The proxy under test sent something that is no HTTP/2.
            print(f"PROTOCOL ERROR: {error!r}", file=sys.stderr, flush=True)
        finally:
            with self.changed:
                self.closed = True
                for exchange in self.exchanges.values():
                    exchange.lose()
                self.changed.notify_all()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.stream.sendall(data)

    def take(self, event):
        exchange = self.exchanges.get(getattr(event, "stream_id", None) or 0)
        match event:
            case h2.events.RequestReceived():
                exchange = Exchange2(self, event.stream_id, event.headers)
                self.exchanges[event.stream_id] = exchange
                threading.Thread(target=exchange.run, daemon=True).start()
            case h2.events.DataReceived():
                exchange.parts.put((event.data, event.flow_controlled_length))
            case h2.events.TrailersReceived():
                exchange.trailers = list(event.headers)
            case h2.events.StreamEnded():
                exchange.parts.put(END)
            case h2.events.StreamReset():
                if exchange:
                    exchange.lose()


class Exchange2:
    version = "2"

    def __init__(self, server, stream_id, head):
        self.server, self.stream_id, self.lost, self.all_read = server, stream_id, False, False
        self.parts, self.trailers = queue.Queue(), []
        pseudo = dict(field for field in head if field[0].startswith(":"))
        self.method, self.path, self.protocol = pseudo[":method"], pseudo.get(":path", "*"), pseudo.get(":protocol")
        # As HTTP/1.1 would show them: the authority is the host.
        self.fields = [("host", pseudo[":authority"])] if ":authority" in pseudo else []
        self.fields += [(name, value) for name, value in head if not name.startswith(":")]

    def run(self):
        if self.protocol == "websocket" and self.path != "/refused":
            echo_websocket(self)
        elif self.protocol:
            self.refuse()
        else:
            answer(self)
        with self.server.changed:
            self.server.exchanges.pop(self.stream_id, None)

    def refuse(self):
        try:
            self.head(403, [("content-length", "2")])
            self.write(b"no")
            self.stop()
        except Gone:
            pass

    def lose(self):
        self.lost = True
        self.parts.put(END)

    def read(self):
        while not self.all_read:
            data, credit = self.parts.get()
            if self.lost:
                raise Gone
            self.all_read = credit is None
            if credit:
                self.change(lambda h2: h2.acknowledge_received_data(credit, self.stream_id))
            if data:
                return data
        return b""

    def change(self, act):
        """Sends what `act` makes of the connection; the caller may hold the lock."""
        with self.server.changed:
            if self.lost or self.server.closed:
                raise Gone
            try:
                act(self.server.h2)
                self.server.flush()
            except (h2.exceptions.ProtocolError, OSError) as error:
                raise Gone from error

    def interim(self, status, fields):
        self.change(lambda h2: h2.send_headers(self.stream_id, [(":status", str(status)), *fields]))

    def head(self, status, fields, end=False):
        self.change(lambda h2: h2.send_headers(self.stream_id, [(":status", str(status)), *fields], end_stream=end))

    def write(self, data):
        while data:
            with self.server.changed:
                while not (room := self.room()):
                    self.server.changed.wait()
                self.change(lambda h2, part=data[:room]: h2.send_data(self.stream_id, part))
                data = data[room:]

    def room(self):
        """Bytes that may be sent, or 1 for a stream that is gone, whose next frame fails."""
        if self.lost or self.server.closed:
            return 1
        connection = self.server.h2
        return max(0, min(connection.local_flow_control_window(self.stream_id), connection.max_outbound_frame_size))

    def end(self, trailers=()):
        if trailers:
            self.change(lambda h2: h2.send_headers(self.stream_id, list(trailers), end_stream=True))
        else:
            self.change(lambda h2: h2.end_stream(self.stream_id))

    def stop(self):
        """Ends the response and says that the rest of the request is not wanted (RFC 9113 8.1)."""
        self.end()
        self.change(lambda connection: connection.reset_stream(self.stream_id, h2.errors.ErrorCodes.NO_ERROR))

    def cut(self):
        self.change(lambda connection: connection.reset_stream(self.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR))


def echo_websocket(exchange):
    """A WebSocket on a stream (RFC 8441 5): no key and no 101, the frames are those of RFC 6455."""
    offers = [value for name, value in exchange.fields if name == "sec-websocket-extensions"]
    deflate = wsproto.extensions.PerMessageDeflate()
    accepted = next((deflate.accept(offer) for offer in offers if "permessage-deflate" in offer), None)
    answer_fields, extensions = [("x-websocket", "h2")], []
    if accepted is not None:
        answer_fields.append(("sec-websocket-extensions", f"permessage-deflate; {accepted}".rstrip("; ")))
        extensions.append(deflate)
    try:
        exchange.head(200, answer_fields)
        socket = wsproto.connection.Connection(wsproto.connection.ConnectionType.SERVER, extensions)
        # The server is the first to end the connection once both sides have sent their Close frames (RFC 6455 7.1.1).
        is_open = True
        while is_open and (data := exchange.read()):
            socket.receive_data(data)
            for event in socket.events():
                exchange.write(reaction(socket, event))
                is_open = is_open and not isinstance(event, wsproto.events.CloseConnection)
        exchange.end()
    except Gone:
        return


def reaction(socket, event):
    """What the echoing server sends for this event."""
    match event:
        case wsproto.events.TextMessage() | wsproto.events.BytesMessage():
            kind = type(event)
            return socket.send(kind(event.data, frame_finished=event.frame_finished, message_finished=event.message_finished))
        case wsproto.events.Ping() | wsproto.events.CloseConnection():
            return socket.send(event.response())
    return b""
