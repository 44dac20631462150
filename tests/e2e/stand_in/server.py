"""Answers as the engine contract asks, on the public port and on the internal one. This is no shop."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class StandIn(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Any page, and /-/ready."""
        self.answer(200, b"A stand-in for a store: nothing is sold here.\n")

    def do_POST(self) -> None:
        """/-/identity."""
        self.rfile.read(int(self.headers["Content-Length"]))
        ours = self.headers["Authorization"] == f"Bearer {os.environ['IDENTITY_TOKEN']}"
        self.answer(204 if ours else 401)

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)


Thread(target=ThreadingHTTPServer(("", 8081), StandIn).serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 8080), StandIn).serve_forever()
