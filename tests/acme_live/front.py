"""A front for pebble that adds what old versions lack: renewal information (RFC 9773) and profiles.

Usage: front.py PORT PEBBLE_PORT CERTIFICATE KEY STATE_FILE
STATE_FILE has JSON: {"start": seconds from now, "end": seconds from now, "retryAfter": seconds, "profiles": [...]}.
Each new order is printed as one line of JSON: its replaces and profile.
"""
import base64, datetime, http.client, http.server, json, socketserver, ssl, sys

port, pebble, certificate, key, state_file = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
client = ssl._create_unverified_context()


def date(seconds):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, fields, body):
        self.send_response_only(status)
        for name, value in fields:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        state = json.load(open(state_file))
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/renewal-info/"):
            print(json.dumps({"asked": self.path.split("/")[2]}), flush=True)
            window = {"start": date(state["start"]), "end": date(state["end"])}
            body = json.dumps({"suggestedWindow": window}).encode()
            return self.answer(200, [("Content-Type", "application/json"), ("Retry-After", str(state["retryAfter"]))], body)
        order = None
        if self.path == "/order-plz":
            text = json.loads(sent)["payload"]
            order = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            wanted = order.get("profile")
            if wanted and wanted not in state["profiles"]:
                problem = {"type": "urn:ietf:params:acme:error:invalidProfile", "detail": wanted, "status": 400}
                connection = http.client.HTTPSConnection("127.0.0.1", pebble, context=client)
                connection.request("HEAD", "/nonce-plz", headers={"Host": self.headers["Host"]})
                nonce = connection.getresponse().getheader("Replay-Nonce")
                fields = [("Content-Type", "application/problem+json"), ("Replay-Nonce", nonce)]
                print(json.dumps({"refused": wanted}), flush=True)
                return self.answer(400, fields, json.dumps(problem).encode())
        connection = http.client.HTTPSConnection("127.0.0.1", pebble, context=client)
        connection.request(self.command, self.path, body=sent or None, headers=dict(self.headers))
        response = connection.getresponse()
        body = response.read()
        if self.path == "/dir":
            directory = json.loads(body)
            directory["renewalInfo"] = f"https://{self.headers['Host']}/renewal-info"
            directory["meta"]["profiles"] = {name: name for name in state["profiles"]}
            body = json.dumps(directory).encode()
        if order is not None and response.status == 201:
            print(json.dumps({"replaces": order.get("replaces"), "profile": order.get("profile")}), flush=True)
            answer = json.loads(body)
            answer.update({name: order[name] for name in ("replaces", "profile") if name in order})
            body = json.dumps(answer).encode()
        self.answer(response.status, response.getheaders(), body)

    do_GET = do_HEAD = do_POST = serve


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", port), Front)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("{}", flush=True)
server.serve_forever()
