"""A service that runs, and requests to it."""

import base64
import contextlib
import socket
from http.client import HTTPResponse

from tests.runtime.processes import Process, wait_for


class Service:
    """A running service that answers."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        wait_for(self.listens)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def listens(self) -> bool:
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def get(self, path: str) -> tuple[int, bool]:
        with self.connect() as connection:
            return ask(connection, path)


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def upgrade(path: str) -> bytes:
    """Return the request that makes of its connection a WebSocket."""
    head = request(path).removesuffix(b"\r\n")
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    fields["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
    return head + "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n"


def ask(connection: socket.socket, path: str) -> tuple[int, bool]:
    connection.sendall(request(path))
    return answer(connection)


def answer(connection: socket.socket) -> tuple[int, bool]:
    """Return the status of the next response, and whether it closes the connection."""
    with HTTPResponse(connection) as response:
        response.begin()
        response.read()
        return response.status, response.getheader("connection") == "close"
