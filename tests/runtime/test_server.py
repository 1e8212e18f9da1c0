"""The server seen from outside: real processes, connections and signals."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from service_runtime.middleware import Middleware
from service_runtime.server import Server
from service_runtime.settings import ServerSettings
from tests.runtime.processes import Process, wait_for
from tests.runtime.sample.app import without_lifespan
from tests.runtime.sample.settings import Settings
from tests.runtime.services import Service, answer, ask, request

LINGER = 2.0  # seconds: long, so that a busy machine gets all of this done in time


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
    service.get("/greeting")  # those before it are taken
    assert ask(idle, "/greeting") == ask(begun_again, "/greeting") == (200, False)
    running.sendall(request(f"/sleep/{2.5 * LINGER}"))
    for connection in (begun, begun_again):
        connection.sendall(request("/greeting")[:-2])
    service.process.terminate()
    service.process.read_line('"stopping"')
    wait_for(lambda: not service.listens())
    assert ask(probe, "/readyz") == (503, True)
    assert ask(idle, "/greeting") == ask(silent, "/greeting") == (200, True)
    assert unused.recv(1) == b""
    for connection in (begun, begun_again):
        connection.sendall(request("/greeting")[-2:])
        assert answer(connection) == (200, True)
    assert answer(running) == (200, True)
    assert service.process.result().code == 0
    for connection in connections:
        connection.close()


def test_a_connection_that_only_the_kernel_has_taken_is_served() -> None:
    """It would be reset with the listener; a client that comes later is refused, and knows that nothing was done."""

    async def stop_listening(listener: socket.socket, application: Middleware) -> bytes:
        server = Server(application, ServerSettings())
        server.config.load()
        server.servers, server.lifespan = [], SimpleNamespace(state={})
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(request("/", Connection="close"))
            await server._close(listener)
            listener.close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(client.getpeername())
            return await asyncio.to_thread(lambda: b"".join(iter(lambda: client.recv(1000), b"")))

    application = Middleware(without_lifespan(Settings()), ServerSettings())
    answered = asyncio.run(stop_listening(socket.create_server(("127.0.0.1", 0)), application))
    assert answered.startswith(b"HTTP/1.1 200")


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


def test_a_load_balancer_has_the_delay_to_see_the_stop(serve: Callable[..., Service]) -> None:
    service = serve(SHUTDOWN_DELAY="3600")
    service.process.terminate()
    wait_for(lambda: service.get("/readyz")[0] == 503)
    for _ in range(50):
        time.sleep(0.02)
        assert service.get("/greeting") == (200, True)
    service.process.kill()


def test_a_stop_comes_when_the_delay_is_over(serve: Callable[..., Service]) -> None:
    service = serve(SHUTDOWN_DELAY="0.3")
    service.process.terminate()
    result = service.process.result()
    assert result.code == 0
    messages = [line["message"] for line in result.logs]
    assert messages.index("stopping in 0.3 s") < messages.index("stopping")


def test_a_second_signal_ends_even_a_service_that_hangs(serve: Callable[..., Service]) -> None:
    service = serve()
    with service.connect() as connection:
        connection.sendall(request("/hang/60"))
        service.process.terminate()
        service.process.read_line('"stopping"')
        service.process.terminate()
        assert service.process.result().code == 128 + signal.SIGTERM


def test_a_port_that_is_taken_ends_the_start(start: Callable[..., Process], port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        result = start("-m", "sample", PORT=str(port)).result()
    assert result.code == 3
    assert "address already in use" in result.logs[-1]["message"].lower()


def test_a_lifespan_that_dies_ends_the_service(serve: Callable[..., Service]) -> None:
    """Until then, for what is being answered, it is neither alive nor ready."""
    service = serve("with_lifespan", TEST_LINGER=str(LINGER))
    with service.connect() as first, service.connect() as second:
        assert ask(first, "/healthz") == ask(second, "/readyz") == (200, False)
        assert service.get("/die")[0] == 200
        service.process.read_line('"stopping"')
        assert ask(first, "/healthz") == ask(second, "/readyz") == (503, True)
    result = service.process.result()
    assert (result.code, result.errors) == (1, "")


def test_a_lifespan_that_ends_when_asked_is_no_failure(serve: Callable[..., Service]) -> None:
    service = serve("with_lifespan")
    service.process.terminate()
    assert service.process.result().code == 0


def test_a_stop_during_a_slow_start_ends_it_at_once(start: Callable[..., Process], port: int) -> None:
    run = "sample.app:with_slow_start"
    process = start("-m", "sample", TEST_RUN=run, PORT=str(port), SHUTDOWN_TIMEOUT="3600")
    process.read_line("waiting")
    process.terminate()
    result = process.result()
    assert (result.code, result.errors) == (0, "")
    assert {line["level"] for line in result.logs} == {"INFO"}
    assert "stopped during the start" in [line["message"] for line in result.logs]


def test_a_start_that_fails_is_logged_and_ends_with_3(start: Callable[..., Process], port: int) -> None:
    result = start("-m", "sample", TEST_RUN="sample.app:with_broken_start", PORT=str(port)).result()
    assert (result.code, result.errors) == (3, "")
    cause, end = (line["message"] for line in result.logs if line["level"] == "ERROR")
    assert "no database" in cause
    assert end == "Application startup failed. Exiting."


def test_an_application_without_lifespan_is_served(serve: Callable[..., Service]) -> None:
    service = serve("without_lifespan")
    assert service.get("/") == (200, False)
    service.process.terminate()
    result = service.process.result()
    assert (result.code, [line for line in result.logs if line["level"] != "INFO"]) == (0, [])


def test_idle_connections_are_kept_as_long_as_the_setting_says(serve: Callable[..., Service]) -> None:
    service = serve(KEEP_ALIVE="1")
    with service.connect() as connection:
        assert ask(connection, "/greeting") == (200, False)
        begin = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - begin >= 0.9


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_the_health_check_knows_where_the_service_listens(
    serve: Callable[..., Service], start: Callable[..., Process], host: str
) -> None:
    serve(HOST=host)
    check = start("-m", "service_runtime.health", PORT="1")
    assert check.communicate()[0] == "healthy: answered 'HTTP/1.1 200'\n"
    assert check.returncode == 0


def test_without_a_place_for_a_note_the_service_starts(serve: Callable[..., Service]) -> None:
    assert serve(TMPDIR="/nowhere").get("/healthz")[0] == 200
