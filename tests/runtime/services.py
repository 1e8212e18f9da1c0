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
        """Return status of a response, and whether it closes the connection."""
        with self.connect() as connection:
            return ask(connection, path)

    def call(self, path: str, body: bytes = b"", /, **headers: str) -> tuple[HTTPResponse, str]:
        """Return a response and its body."""
        with self.connect() as connection:
            connection.sendall(request(path, body, **headers))
            with HTTPResponse(connection) as response:
                response.begin()
                return response, response.read().decode()


def request(path: str, body: bytes = b"", /, **headers: str) -> bytes:
    """Return a request, a POST when there is a body; an underscore in the name of a header stands for a hyphen."""
    fields = {"Host": "test", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        fields["Content-Length"] = str(len(body))
    head = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*head, "", ""]).encode() + body


def upgrade(path: str) -> bytes:
    """Return the request that makes of its connection a WebSocket."""
    key = base64.b64encode(bytes(16)).decode()
    return request(path, Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13", Sec_WebSocket_Key=key)


def ask(connection: socket.socket, path: str) -> tuple[int, bool]:
    connection.sendall(request(path))
    return answer(connection)


def answer(connection: socket.socket) -> tuple[int, bool]:
    """Return the status of the next response, and whether it closes the connection."""
    with HTTPResponse(connection) as response:
        response.begin()
        response.read()
        return response.status, response.getheader("connection") == "close"
