"""A gRPC server on PyPI grpcio, without TLS (h2c): messages are bytes, the methods those of gRPC's interop tests.

    grpc_server.py --port N [--name TEXT]
"""

import argparse
import itertools
import threading
import time
from concurrent import futures

import grpc

cancelled = 0
lock = threading.Lock()


def copy_metadata(context):
    """Returns what the client sent under the names of gRPC's case custom_metadata: as initial and as trailing metadata."""
    sent = dict(context.invocation_metadata())
    if "x-grpc-test-echo-initial" in sent:
        context.send_initial_metadata([("x-grpc-test-echo-initial", sent["x-grpc-test-echo-initial"])])
    if "x-grpc-test-echo-trailing-bin" in sent:
        context.set_trailing_metadata([("x-grpc-test-echo-trailing-bin", sent["x-grpc-test-echo-trailing-bin"])])


def empty(_request, context):
    copy_metadata(context)
    return b""


def echo(request, context):
    copy_metadata(context)
    return request


def reverse(request, _context):
    return request[::-1]


def name(_request, _context):
    return options.name.encode()


def fail(request, context):
    """The request is a code and a message."""
    code, _, message = request.decode().partition(" ")
    context.abort(next(one for one in grpc.StatusCode if one.value[0] == int(code)), message)


def sleep(request, _context):
    time.sleep(float(request))
    return b"slept"


def count(requests, _context):
    number = size = 0
    for request in requests:
        number, size = number + 1, size + len(request)
    return f"{number} {size}".encode()


def sizes(request, _context):
    """A response of each of the sizes."""
    for size in request.split():
        yield bytes(int(size))


def ping_pong(requests, context):
    copy_metadata(context)
    for request in requests:
        yield request


class Watch:
    """Counts the call as cancelled if it ends before the method has."""

    def __init__(self, context):
        self.finished = False
        context.add_callback(self.call_ended)

    def call_ended(self):
        global cancelled
        if not self.finished:
            with lock:
                cancelled += 1


def endless(_request, context):
    Watch(context)
    for number in itertools.count():
        yield str(number).encode()
        time.sleep(0.02)


def listen(requests, context):
    watch = Watch(context)
    for _ in requests:
        pass
    # A message that fails is noticed a moment before the cancellation is.
    time.sleep(0.3)
    watch.finished = context.is_active()
    return b"all"


def deadline(_request, context):
    """What is left of the client's deadline, in seconds."""
    return str(context.time_remaining()).encode()


def cancelled_calls(_request, _context):
    return str(cancelled).encode()


HANDLERS = {
    "Empty": grpc.unary_unary_rpc_method_handler(empty),
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Reverse": grpc.unary_unary_rpc_method_handler(reverse),
    "Name": grpc.unary_unary_rpc_method_handler(name),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Deadline": grpc.unary_unary_rpc_method_handler(deadline),
    "Cancelled": grpc.unary_unary_rpc_method_handler(cancelled_calls),
    "Count": grpc.stream_unary_rpc_method_handler(count),
    "Listen": grpc.stream_unary_rpc_method_handler(listen),
    "Sizes": grpc.unary_stream_rpc_method_handler(sizes),
    "Endless": grpc.unary_stream_rpc_method_handler(endless),
    "PingPong": grpc.stream_stream_rpc_method_handler(ping_pong),
}


def main():
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[
            ("grpc.max_receive_message_length", 16 << 20),
            ("grpc.max_send_message_length", 16 << 20),
            ("grpc.so_reuseport", 0),
            # Clients and proxies may ping as often as the test does.
            ("grpc.http2.min_ping_interval_without_data_ms", 100),
            ("grpc.http2.max_ping_strikes", 0),
        ],
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", HANDLERS)])
    server.add_insecure_port(f"127.0.0.1:{options.port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="")
    options = parser.parse_args()
    main()
