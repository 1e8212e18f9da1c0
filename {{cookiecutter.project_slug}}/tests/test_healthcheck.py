{%- if cookiecutter.service_type == "fastapi" -%}
import socket
import threading
import time
from collections.abc import Callable

import pytest

from {{ cookiecutter.package_name }} import healthcheck

from .helpers import PACKAGE, Process


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
    process = start("-m", f"{PACKAGE}.healthcheck", PORT="1")
    assert process.communicate()[0].startswith("unhealthy: no answer: ")
    assert process.returncode == 1


def test_a_service_that_hangs_is_unhealthy(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT", 0.1)
    begin = time.monotonic()
    with listener:
        assert healthcheck.check() == (False, "no answer: timed out")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("port", ["", "1"])
def test_a_service_that_is_not_there_is_unhealthy(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", port)
    healthy, reason = healthcheck.check()
    assert not healthy
    assert reason.startswith("no answer: ")
{%- else -%}
import os
import time
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }} import healthcheck
from {{ cookiecutter.package_name }}.healthcheck import Heartbeat, check


def test_a_late_heartbeat_is_unhealthy_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    heartbeat = Heartbeat(max_age=9)
    assert check() == (True, "heartbeat due in 9.0 s")
    monkeypatch.setattr(time, "monotonic", lambda: 110.0)
    assert check() == (False, "heartbeat due in -1.0 s")
    heartbeat.beat()
    assert check() == (True, "heartbeat due in 9.0 s")


def test_a_wall_clock_that_jumps_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    Heartbeat(max_age=9)
    monkeypatch.setattr(time, "time", lambda: 0)
    os.utime(healthcheck.HEARTBEAT, (0, 0))
    assert check()[0]


def test_the_file_never_grows_or_moves() -> None:
    heartbeat = Heartbeat(max_age=9)
    before = healthcheck.HEARTBEAT.stat()
    heartbeat.beat()
    after = healthcheck.HEARTBEAT.stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)


def test_no_heartbeat_or_a_broken_one_is_unhealthy() -> None:
    assert check()[1].startswith("no heartbeat: ")
    healthcheck.HEARTBEAT.write_text("x")
    assert check() == (False, "no heartbeat: could not convert string to float: 'x'")


def test_a_place_that_cannot_be_written_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "HEARTBEAT", Path("/proc/heartbeat"))
    with pytest.raises(OSError, match="/proc/heartbeat"):
        Heartbeat(max_age=9)
{%- endif %}
