import socket
import threading
from collections.abc import Callable

import pytest

from service_runtime import healthcheck
from tests.runtime.processes import Process


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Return a socket that listens on PORT."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("PORT", str(listener.getsockname()[1]))
    return listener


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 500 Broken\r\n\r\n", False), (b"", False)],
)
def test_the_status_decides(listener: socket.socket, answer: bytes, healthy: bool) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            assert connection.recv(100).startswith(b"GET /healthz ")
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    assert healthcheck.check() == (healthy, f"answered {answer[:12].decode()!r}")
    thread.join()


def test_it_runs_as_a_module(start: Callable[..., Process]) -> None:
    process = start("-m", "service_runtime.healthcheck", PORT="1")
    assert process.communicate()[0].startswith("unhealthy: no answer: ")
    assert process.returncode == 1


def test_it_loads_little_since_it_runs_all_the_time(start: Callable[..., Process]) -> None:
    loads = "import sys, collections.abc, pathlib; bare = {*sys.modules}; import socket; socket = {*sys.modules} - bare"
    process = start("-c", f"{loads}; import service_runtime.healthcheck; print(*{{*sys.modules}} - bare - socket)")
    assert set(process.communicate()[0].split()) == {
        "service_runtime",
        "service_runtime.health",
        "service_runtime.healthcheck",
    }


def test_a_service_that_hangs_is_unhealthy(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT", 0.1)
    with listener:
        assert healthcheck.check() == (False, "no answer: timed out")


@pytest.mark.parametrize("port", ["", "1"])
def test_a_service_that_is_not_there_is_unhealthy(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", port)
    healthy, reason = healthcheck.check()
    assert not healthy
    assert reason.startswith("no answer: ")
