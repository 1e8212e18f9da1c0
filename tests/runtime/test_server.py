"""The server seen from outside: real processes, connections and signals."""

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path

import pytest

from service_runtime.server import _refuse
from tests.runtime.processes import Process, wait_for

SLOW_SERVICE = Path(__file__).with_name("slow_service.py")
LINGER = 2.0  # seconds: long, so that a busy machine gets all of this done in time


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


def ask(connection: socket.socket, path: str) -> tuple[int, bool]:
    connection.sendall(request(path))
    return answer(connection)


def answer(connection: socket.socket) -> tuple[int, bool]:
    """Return the status of the next response, and whether it closes the connection."""
    with HTTPResponse(connection) as response:
        response.begin()
        response.read()
        return response.status, response.getheader("connection") == "close"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def serve(start: Callable[..., Process], port: int) -> Callable[..., Service]:
    """Start the service with environment variables."""
    return lambda **environment: Service(start(SLOW_SERVICE, PORT=str(port), **environment), port)


def test_a_service_logs_an_exception_as_one_object_and_stops(serve: Callable[..., Service]) -> None:
    service = serve()
    assert service.get("/broken") == (500, False)
    service.process.terminate()
    result = service.process.result()
    assert (result.code, result.errors) == (0, "")
    [error] = [line for line in result.logs if line["level"] == "ERROR"]
    assert error["traceback"].endswith("RuntimeError: broken")


def test_a_stop_answers_everything_first(serve: Callable[..., Service]) -> None:
    service = serve(TEST_LINGER=str(LINGER))
    connections = [service.connect() for _ in range(7)]
    running, probe, silent, idle, unused, begun, begun_again = connections
    assert ask(idle, "/greeting") == ask(begun_again, "/greeting") == (200, False)
    running.sendall(request(f"/sleep/{2.5 * LINGER}"))
    for connection in (begun, begun_again):
        connection.sendall(request("/greeting")[:-2])
    begin = time.monotonic()
    service.process.terminate()
    wait_for(lambda: ask(probe, "/readyz") == (503, True))
    assert service.get("/greeting") == (200, True)
    assert ask(idle, "/greeting") == ask(silent, "/greeting") == (200, True)
    wait_for(lambda: not service.listens())
    assert time.monotonic() - begin >= LINGER
    assert unused.recv(1) == b""
    assert time.monotonic() - begin >= 2 * LINGER
    for connection in (begun, begun_again):
        connection.sendall(request("/greeting")[-2:])
        assert answer(connection) == (200, True)
    assert answer(running) == (200, True)
    assert service.process.result().code == 0
    for connection in connections:
        connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="an option of Linux")
def test_connections_that_wait_survive_when_new_ones_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        waiting = socket.create_connection(address)
        _refuse(listener)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        accepted, client = listener.accept()
        assert client == waiting.getsockname()
    waiting.close()
    accepted.close()


def test_a_request_that_takes_too_long_is_cut_off(serve: Callable[..., Service]) -> None:
    service = serve(SHUTDOWN_TIMEOUT="2")
    with service.connect() as connection:
        connection.sendall(request("/sleep/60"))
        service.process.terminate()
        assert answer(connection) == (500, True)
    result = service.process.result()
    assert result.code == 1
    [line] = [line for line in result.logs if line["message"] == "cut off"]
    assert line["requests"] == 1


def test_a_second_signal_ends_even_a_service_that_hangs(serve: Callable[..., Service]) -> None:
    service = serve()
    with service.connect() as connection:
        connection.sendall(request("/hang/60"))
        service.process.terminate()
        service.process.read_line("stopping")
        service.process.terminate()
        assert service.process.result().code == 128 + signal.SIGTERM


def test_a_port_that_is_taken_ends_the_start(start: Callable[..., Process], port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        result = start(SLOW_SERVICE, PORT=str(port)).result()
    assert result.code == 3
    assert "address already in use" in result.logs[-1]["message"].lower()
