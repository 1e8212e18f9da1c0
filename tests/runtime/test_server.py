"""The server seen from outside: real processes, connections and signals."""

import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service_runtime.server import _refuse
from tests.runtime.processes import Process, wait_for
from tests.runtime.services import Service, answer, ask, request

SLOW_SERVICE = Path(__file__).with_name("slow_service.py")
LINGER = 2.0  # seconds: long, so that a busy machine gets all of this done in time


def test_a_service_logs_an_exception_as_one_object_and_stops(serve: Callable[..., Service]) -> None:
    service = serve(SLOW_SERVICE)
    assert service.get("/broken") == (500, False)
    service.process.terminate()
    result = service.process.result()
    assert (result.code, result.errors) == (0, "")
    [error] = [line for line in result.logs if line["level"] == "ERROR"]
    assert error["traceback"].endswith("RuntimeError: broken")


def test_probes_are_logged_when_they_fail_only(serve: Callable[..., Service]) -> None:
    service = serve(SLOW_SERVICE, SHUTDOWN_DELAY="3600")
    for path in ("/healthz", "/readyz", "/greeting", "/healthz/deep"):
        service.get(path)
    service.process.terminate()
    wait_for(lambda: service.get("/readyz")[0] == 503)
    service.process.terminate()
    lines = [line["message"] for line in service.process.result().logs if line["logger"] == "uvicorn.access"]
    asked = [re.findall('"(.*)" (.*)', line)[0] for line in lines]
    assert asked[:2] == [("GET /greeting HTTP/1.1", "200"), ("GET /healthz/deep HTTP/1.1", "404")]
    assert set(asked[2:]) == {("GET /readyz HTTP/1.1", "503")}


def test_a_stop_answers_everything_first(serve: Callable[..., Service]) -> None:
    service = serve(SLOW_SERVICE, TEST_LINGER=str(LINGER))
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
    service = serve(SLOW_SERVICE, SHUTDOWN_TIMEOUT="2")
    with service.connect() as connection:
        connection.sendall(request("/sleep/60"))
        service.process.terminate()
        assert answer(connection) == (500, True)
    result = service.process.result()
    assert result.code == 1
    [line] = [line for line in result.logs if line["message"] == "cut off"]
    assert line["requests"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_service_hardly_wakes_up(serve: Callable[..., Service]) -> None:
    """uvicorn's own loop does ten times a second."""
    status = Path(f"/proc/{serve(SLOW_SERVICE).process.pid}/status")

    def wakes() -> int:
        return int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.MULTILINE)[0])

    before, begin = wakes(), time.monotonic()
    time.sleep(3)
    assert wakes() - before < 5 * (time.monotonic() - begin)


def test_a_load_balancer_has_the_delay_to_see_the_stop(serve: Callable[..., Service]) -> None:
    service = serve(SLOW_SERVICE, SHUTDOWN_DELAY="3600")
    service.process.terminate()
    wait_for(lambda: service.get("/readyz")[0] == 503)
    for _ in range(50):
        time.sleep(0.02)
        assert service.get("/greeting") == (200, True)
    service.process.kill()


def test_a_stop_comes_when_the_delay_is_over(serve: Callable[..., Service]) -> None:
    service = serve(SLOW_SERVICE, SHUTDOWN_DELAY="0.3")
    service.process.terminate()
    result = service.process.result()
    assert result.code == 0
    messages = [line["message"] for line in result.logs]
    assert messages.index("stopping in 0.3 s") < messages.index("stopping")


def test_a_second_signal_ends_even_a_service_that_hangs(serve: Callable[..., Service]) -> None:
    service = serve(SLOW_SERVICE)
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
