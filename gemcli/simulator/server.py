"""An application over HTTP/1.1, for any Gemini client and for tests; by default on loopback.

Bodies go out chunked, step by step, so that a client sees pauses and broken connections as such.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from gemcli.simulator.simulated_api import Cut, Reply, SimulatedApp, simulate

Log = Callable[[str], None]
"""Takes one line for each request."""

LOOPBACK = "127.0.0.1"

MAX_BODY = 128 * 1024 * 1024
"""Longest request taken; the API itself stops at 100 MB."""

_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class Server(ThreadingMixIn, HTTPServer):
    """A server of one application, with a thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # the default of 5 drops clients that connect all at once

    def __init__(self, app: SimulatedApp, host: str, port: int, log: Log | None) -> None:
        self.app = app
        self.log = log
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """The base URL for a client, without a slash at the end."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name, as `HTTPServer` does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: object) -> None:
        """Answer one connection in its own thread, and remember it, so that `stop` can end it."""
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End one connection."""
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: object) -> None:
        """Stay silent about clients that went away; anything else is a bug, and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop listening, and end every connection, pauses included."""
        self.stopping.set()
        self.server_close()
        with self._guard:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serve(
    app: SimulatedApp = simulate, *, host: str = LOOPBACK, port: int = 0, log: Log | None = None
) -> Iterator[Server]:
    """A server that answers in the background until the `with` block ends; port 0 is a free one."""
    server = Server(app, host, port, log)
    # The poll interval is how long ending the block can take.
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, asks the application, acts out its replies."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # small chunks must not wait for each other

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,15}", length):
            # Then nobody knows where this request ends and the next begins.
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return
        if int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return  # the client went away in the middle
        headers = dict(self.headers.items())
        self._act_out(self.server.app(self.command, self.path, headers, body))

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_error(status)

    def _act_out(self, reply: Reply) -> None:
        """Send a reply step by step; a body with its own Content-Length is sent raw, to be cut."""
        has_length = "content-length" in {name.lower() for name in reply.headers}
        has_no_body = reply.status in _WITHOUT_BODY
        raw = has_length or has_no_body or self.request_version != "HTTP/1.1"
        started = False
        for step in reply.steps:
            if isinstance(step, Cut):
                self._log(f"{reply.status} {step.how}")
                self._cut(step)
                return
            if isinstance(step, bytes):
                if not started:
                    self._send_head(reply, raw)
                    started = True
                self._send(step, raw)
            elif self.server.stopping.wait(step):
                self.close_connection = True
                return
        # Before the end goes out, so that lines keep the order of a client's requests.
        self._log(str(reply.status))
        if not started:
            self._send_head(reply, raw)
        if not raw:
            self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, reply: Reply, raw: bool) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not raw:
            self.send_header("transfer-encoding", "chunked")
        elif reply.status not in _WITHOUT_BODY:
            self.send_header("connection", "close")
        self.end_headers()

    def _send(self, data: bytes, raw: bool) -> None:
        # An empty chunk would be the end of the body.
        if data:
            self.wfile.write(data if raw else b"%x\r\n%b\r\n" % (len(data), data))

    def _cut(self, cut: Cut) -> None:
        self.close_connection = True
        if cut.how == "reset":
            # A socket that lingers for no time is reset when it is closed. The file object goes
            # first, because it keeps the socket open.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()

    def _log(self, outcome: str) -> None:
        """Log one request, without its query, headers and body, which hold keys and prompts."""
        if self.server.log is not None:
            path = self.path.partition("?")[0]
            self.server.log(f"{self.command} {ascii(path)[1:-1]} {outcome}")

    def log_message(self, *_args: object) -> None:
        """Silence: `_log` does this."""
