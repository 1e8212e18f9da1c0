import socket
import threading
import time
from collections.abc import Callable

import pytest

from service_runtime import health
from tests.runtime.processes import Process


@pytest.fixture
def listener() -> socket.socket:
    """Return a socket that listens where the service has noted it."""
    listener = socket.create_server(("127.0.0.1", 0))
    health.note(f"port 127.0.0.1 {listener.getsockname()[1]}")
    return listener


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 503 Broken\r\n\r\n", False), (b"", False)],
)
def test_the_status_decides(listener: socket.socket, answer: bytes, healthy: bool) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            assert connection.recv(100).startswith(b"GET /healthz ")
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    assert health.check() == (healthy, f"answered {answer[:12].decode()!r}")
    thread.join()


def test_a_service_that_hangs_is_unhealthy(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.1)
    with listener:
        assert health.check() == (False, "no answer: timed out")


@pytest.mark.parametrize("note", ["", "port", "port 127.0.0.1", "port 127.0.0.1 1", "due soon"])
def test_a_service_that_is_not_there_is_unhealthy(note: str) -> None:
    health.note(note)
    healthy, reason = health.check()
    assert not healthy
    assert reason.startswith("no answer: ")


def test_without_a_note_the_port_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "abc")
    assert health.check() == (False, "no answer: invalid literal for int() with base 10: 'abc'")


def test_a_worker_is_healthy_until_its_heartbeat_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    health.note(f"due {time.monotonic() + 60:020.6f}")
    assert health.check()[0]
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    healthy, reason = health.check()
    assert not healthy
    assert reason.startswith("heartbeat due in -")


def test_it_runs_as_a_module_and_asks_once(start: Callable[..., Process]) -> None:
    """--watch was an option once."""
    for arguments in ([], ["--watch"]):
        process = start("-m", "service_runtime.health", *arguments, PORT="1")
        assert process.communicate()[0].startswith("unhealthy: no answer: ")
        assert process.returncode == 1


def test_it_loads_little_since_it_runs_all_the_time(start: Callable[..., Process]) -> None:
    loads = "import sys, pathlib, socket; bare = {*sys.modules}"
    process = start("-c", f"{loads}; import service_runtime.health; print(*{{*sys.modules}} - bare)")
    assert set(process.communicate()[0].split()) == {"service_runtime", "service_runtime.health"}
