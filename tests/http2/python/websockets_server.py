"""A WebSocket server over HTTP/1.1 on PyPI websockets, which echoes and agrees on permessage-deflate.

    websockets_server.py --port N

The path /refused is not upgraded, it gets 403; other paths without an upgrade get the library's own response.
"""

import argparse
import http

import websockets.sync.server


def echo(connection):
    for message in connection:
        connection.send(message)


def refuse(connection, request):
    if request.path == "/http":
        return connection.respond(http.HTTPStatus.OK, "a page\n")
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no WebSocket here\n")
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    server = websockets.sync.server.serve(echo, "127.0.0.1", options.port, process_request=refuse, max_size=16 << 20)
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
