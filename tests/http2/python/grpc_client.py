"""Cases of a gRPC client on PyPI grpcio, after those of gRPC's interop tests. The server behind the proxy is grpc_server.py.

    grpc_client.py --port N [--ca FILE] [--server-pid N] CASE...

With --ca over TLS. --server-pid is the server's process, for the case that ends it.
"""

import os
import queue
import signal
import sys
import time

import grpc

from link import expect, run_cases

SECONDS = 20
MESSAGE_BYTES = 4_000_000


class Target:
    def __init__(self, options):
        self.port, self.server_pid = options.port, options.server_pid
        self.ca = None
        if options.ca:
            with open(options.ca, "rb") as file:
                self.ca = file.read()

    def channel(self, *options):
        # A pool of its own: every channel is a connection.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", 16 << 20),
            ("grpc.enable_retries", 0),
            *options,
        ]
        address = f"127.0.0.1:{self.port}"
        if self.ca:
            options.append(("grpc.ssl_target_name_override", "a.test"))
            options.append(("grpc.default_authority", "a.test"))
            return grpc.secure_channel(address, grpc.ssl_channel_credentials(self.ca), options)
        options.append(("grpc.default_authority", "a.test"))
        return grpc.insecure_channel(address, options)

    def unary(self, method, channel=None):
        return (channel or self.channel()).unary_unary(f"/test.Service/{method}")


def error_of(call, *arguments, **options):
    try:
        result = call(*arguments, timeout=options.pop("timeout", SECONDS), **options)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"the call succeeded: {result!r}")


def empty_unary(target):
    expect(target.unary("Empty")(b"", timeout=SECONDS) == b"")


def large_unary(target):
    message = bytes(range(256)) * (MESSAGE_BYTES // 256)
    expect(target.unary("Reverse")(message, timeout=SECONDS) == message[::-1])


def client_streaming(target):
    sizes = [27182, 8, 1828, 45904, 0, 1, 300_000]
    call = target.channel().stream_unary("/test.Service/Count")
    result = call(iter([bytes(size) for size in sizes]), timeout=SECONDS)
    expect(result == f"{len(sizes)} {sum(sizes)}".encode(), result)


def server_streaming(target):
    sizes = [31415, 9, 2653, 58979, 0, 1, 300_000]
    call = target.channel().unary_stream("/test.Service/Sizes")
    got = [len(part) for part in call(" ".join(map(str, sizes)).encode(), timeout=SECONDS)]
    expect(got == sizes, got)


def ping_pong(target):
    """Every answer arrives before the next message is sent: nothing is held back."""
    messages, sizes = queue.Queue(), [27182, 8, 1828, 45904, 1, 0]
    call = target.channel().stream_stream("/test.Service/PingPong")(iter(messages.get, None), timeout=SECONDS)
    for size in sizes:
        messages.put(bytes(size))
        begin = time.monotonic()
        expect(len(next(call)) == size, size)
        expect(time.monotonic() - begin < 2, "an answer was held back")
    messages.put(None)
    expect(list(call) == [], "more answers than messages")
    expect(call.code() == grpc.StatusCode.OK, call.code())


def empty_stream(target):
    call = target.channel().stream_stream("/test.Service/PingPong")(iter([]), timeout=SECONDS)
    expect(list(call) == [] and call.code() == grpc.StatusCode.OK, call)


def cancel_after_begin(target):
    before = cancelled(target)
    messages = queue.Queue()
    call = target.channel().stream_unary("/test.Service/Listen").future(iter(messages.get, None), timeout=SECONDS)
    messages.put(b"one")
    time.sleep(0.5)
    call.cancel()
    messages.put(None)
    expect(call.code() == grpc.StatusCode.CANCELLED, call.code())
    await_cancelled(target, before)


def cancel_after_first_response(target):
    before = cancelled(target)
    call = target.channel().unary_stream("/test.Service/Endless")(b"", timeout=SECONDS)
    expect(next(call) == b"0")
    call.cancel()
    expect(call.code() == grpc.StatusCode.CANCELLED, call.code())
    await_cancelled(target, before)


def lost_client_is_a_cancellation(target):
    before = cancelled(target)
    channel = target.channel()
    call = channel.unary_stream("/test.Service/Endless")(b"", timeout=SECONDS)
    expect(next(call) == b"0")
    channel.close()
    await_cancelled(target, before)


def cancelled(proxy):
    return int(proxy.unary("Cancelled")(b"", timeout=SECONDS))


def await_cancelled(target, before):
    end = time.monotonic() + 10
    while cancelled(target) == before:
        expect(time.monotonic() < end, "the server does not see the cancellation")
        time.sleep(0.1)


def timeout_on_sleeping_server(target):
    before = time.monotonic()
    error = error_of(target.unary("Sleep"), b"3", timeout=0.5)
    expect(error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error)
    expect(time.monotonic() - before < 2, "the deadline came late")


def deadline_reaches_the_server(target):
    left = float(target.unary("Deadline")(b"", timeout=7))
    expect(0 < left <= 7, left)


def status_code_and_message(target):
    for code in (2, 3, 5, 7, 8, 13, 16):
        error = error_of(target.unary("Fail"), f"{code} test status message".encode())
        expect(error.code().value[0] == code and error.details() == "test status message", error)


def special_status_message(target):
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \U0001f608\t\n"
    error = error_of(target.unary("Fail"), b"2 " + message.encode())
    expect(error.code() == grpc.StatusCode.UNKNOWN and error.details() == message, error)


def custom_metadata(target):
    initial = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
    # Bytes of every value, and a length that base64 pads.
    trailing = ("x-grpc-test-echo-trailing-bin", bytes(range(256)))
    call = target.unary("Echo")
    answer, details = call.with_call(b"message", timeout=SECONDS, metadata=[initial, trailing])
    expect(answer == b"message")
    expect(initial in list(details.initial_metadata()), details.initial_metadata())
    expect(trailing in list(details.trailing_metadata()), details.trailing_metadata())
    stream = target.channel().stream_stream("/test.Service/PingPong")
    call = stream(iter([b"one"]), timeout=SECONDS, metadata=[initial, trailing])
    expect(list(call) == [b"one"])
    expect(initial in list(call.initial_metadata()) and trailing in list(call.trailing_metadata()), call)


def unimplemented(target):
    channel = target.channel()
    for path in ("/test.Service/Missing", "/missing.Service/Missing"):
        error = error_of(channel.unary_unary(path), b"")
        expect(error.code() == grpc.StatusCode.UNIMPLEMENTED, error)


def ten_thousand_calls(target):
    """A hundred at a time on one connection."""
    call = target.unary("Echo")
    for hundred in range(100):
        calls = [call.future(b"%d %d" % (hundred, n), timeout=60) for n in range(100)]
        for n, one in enumerate(calls):
            expect(one.result() == b"%d %d" % (hundred, n), one)


def many_connections(target):
    channels = [target.channel() for _ in range(20)]
    calls = [target.unary("Echo", channel).future(b"%d" % n, timeout=SECONDS) for n, channel in enumerate(channels)]
    expect([call.result() for call in calls] == [b"%d" % n for n in range(20)])


def keepalive_pings(target):
    """Pings while a call is under way and after it; an answer that stayed away would end the connection within the time-out."""
    channel = target.channel(
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 500),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),
    )
    states = []
    channel.subscribe(states.append)
    expect(target.unary("Sleep", channel)(b"3", timeout=SECONDS) == b"slept")
    time.sleep(2.5)
    expect(target.unary("Empty", channel)(b"", timeout=SECONDS) == b"")
    failures = [state for state in states if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE]
    ready = states.count(grpc.ChannelConnectivity.READY)
    expect(not failures and ready == 1, states)


def dead_server_is_unavailable(target):
    """The server ends in the middle of a call, and there is none afterwards."""
    channel = target.channel()
    call = channel.unary_stream("/test.Service/Endless")(b"", timeout=SECONDS)
    expect(next(call) == b"0")
    os.kill(target.server_pid, signal.SIGKILL)
    try:
        for _ in call:
            pass
        raise AssertionError("a cut stream ended well")
    except grpc.RpcError:
        expect(call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), call)
    error = error_of(target.unary("Empty", channel), b"")
    expect(error.code() == grpc.StatusCode.UNAVAILABLE, error)


if __name__ == "__main__":
    run_cases(Target, ["--server-pid"])
