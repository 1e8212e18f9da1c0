"""Streams and a stop, seen by their clients: real processes, connections and signals."""

import contextlib
import struct
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from importlib.util import find_spec

import pytest

from tests.runtime.processes import wait_for
from tests.runtime.services import Service, answer, request, upgrade

if find_spec("websockets"):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

of_websockets = pytest.mark.skipif(not find_spec("websockets"), reason="the project does without the library")
RESTART = bytes([0x88, 2]) + struct.pack("!H", 1012)  # the frame that closes a WebSocket
# A stop that waited for a stream would outlast the test.
HOUR = "3600"


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve(SHUTDOWN_TIMEOUT=HOUR)


@contextlib.contextmanager
def stream(service: Service, path: str) -> Iterator[HTTPResponse]:
    """Yield the response at `path`, which has begun with "data: "."""
    with service.connect() as connection:
        connection.sendall(request(path))
        with HTTPResponse(connection) as response:
            response.begin()
            assert response.read(6) == b"data: "
            yield response


def assert_stopped(service: Service) -> None:
    """Assert that the service has ended as it should, and was never in trouble."""
    result = service.process.result()
    assert (result.code, result.errors) == (0, "")
    assert [line for line in result.logs if line["level"] != "INFO"] == []


def test_a_stop_completes_event_streams(service: Service) -> None:
    with stream(service, "/events") as events, stream(service, "/polite") as polite:
        service.process.terminate()
        # An end in the middle would raise IncompleteRead.
        assert events.read() == b"first\n\n"
        assert polite.read() == b"first\n\ndata: goodbye\n\n"
        assert_stopped(service)


def test_a_stop_lets_other_streams_finish(service: Service) -> None:
    with stream(service, "/download") as download:
        service.process.terminate()
        assert download.read() == b"last"
        assert_stopped(service)


def test_an_event_stream_that_opens_late_in_a_stop_is_complete(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(request("/late-events"))
        service.process.read_line("asked")
        service.process.terminate()
        assert answer(connection) == (200, True)
    assert_stopped(service)


@of_websockets
@pytest.mark.parametrize("path", ["/echo", "/push"])
def test_a_stop_tells_the_clients_of_websockets_to_come_again(service: Service, path: str) -> None:
    with connect(f"ws://127.0.0.1:{service.port}{path}") as websocket:
        websocket.send("first")
        assert websocket.recv() == "first"
        service.process.terminate()
        with pytest.raises(ConnectionClosed):
            websocket.recv()
        assert websocket.close_code == 1012
    assert_stopped(service)


@of_websockets
def test_a_client_that_does_not_answer_the_close_delays_no_stop(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(upgrade("/push"))
        wait_for(lambda: connection.recv(1000).endswith(b"first"))
        service.process.terminate()
        assert connection.recv(1000) == RESTART
        assert connection.recv(1000) == b""
    assert_stopped(service)


@of_websockets
def test_a_websocket_that_is_refused_is_answered_and_logged(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(upgrade("/refuse"))
        assert answer(connection)[0] == 403
    service.process.terminate()
    [line] = [line for line in service.process.result().logs if line["logger"] == "service.access"]
    assert (line["method"], line["route"], line["status"]) == ("WEBSOCKET", "/refuse", 403)


def test_a_websocket_without_the_library_is_refused_and_the_log_says_why(serve: Callable[..., Service]) -> None:
    service = serve(TEST_WITHOUT="websockets")
    with service.connect() as connection:
        connection.sendall(upgrade("/push"))
        assert answer(connection)[0] == 404
    service.process.terminate()
    assert "add `websockets`" in " ".join(line["message"] for line in service.process.result().logs)
