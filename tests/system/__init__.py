"""The program as its users meet it: whole command lines, real files, real HTTP, real signals."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from tests.support import CANARY


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Listener:
    """A bare TCP server on loopback: `seen` is what each connection has sent, in the order of their arrival."""

    def __init__(self, sock: socket.socket) -> None:
        self.port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.seen: list[bytearray] = []
        self.stop = threading.Event()

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes this the model."""
        return {"GEMINI_API_KEY": CANARY, "GOOGLE_GEMINI_BASE_URL": self.url, "GEMCLI_MODEL": "gemini-test"}

    def request(self, connection: socket.socket) -> bytes:
        """Read one whole HTTP request from a connection."""
        data = self.seen[-1]
        while b"\r\n\r\n" not in data:
            data += _received(connection)
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        sizes = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while len(body) < int(sizes[0] if sizes else 0):
            data += (more := _received(connection))
            body += more
        return bytes(data)


Handler = Callable[[Listener, socket.socket], None]
"""What a bare server does with one connection; it is closed afterwards."""


@contextlib.contextmanager
def listening(handle: Handler) -> Iterator[Listener]:
    """A bare TCP server that lets `handle` deal with each connection, in a thread of its own."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            handle(listener, connection)

    def accept() -> None:
        while not listener.stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            listener.seen.append(bytearray())
            connections.append(connection)
            threads.append(threading.Thread(target=one, args=[connection], daemon=True))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server)
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener
        finally:
            listener.stop.set()
            server.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in [accepting, *threads]:
                thread.join(10)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the client has left")
    return data
