"""Chat: WebSockets and server-sent events."""

import contextlib
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.helpers import services
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import Engine, healthcheck, until
from tests.helpers.project import Project
from tests.services.conftest import Scaffold


@pytest.fixture(scope="module")
def project(scaffold: Scaffold) -> Project:
    """The project, as its team has it."""
    project = scaffold("chat", service_type="fastapi")
    services.finish(project, "websockets>=17,<18")
    return project


@pytest.fixture(scope="module")
def image(project: Project, engine: Engine) -> str:
    """Its image."""
    return engine.build(project, "--build-arg", "VERSION=0.1.0")[0]


@contextlib.contextmanager
def events(address: str) -> Iterator[HTTPResponse]:
    """Yield the stream of events."""
    with contextlib.closing(HTTPConnection(address, timeout=60)) as connection:
        connection.request("GET", "/events")
        with connection.getresponse() as stream:
            yield stream


def event(text: str) -> bytes:
    """Return how the stream says `text`."""
    return f'data: "{text}"\n\n'.encode()


def test_the_project_passes_its_own_checks(project: Project) -> None:
    services.check(project)


def test_the_contract(project: Project, image: str) -> None:
    assert red(table(judge(project, image))) == {}


def test_a_stop_with_a_full_room(image: str, engine: Engine) -> None:
    """All hear of it and may come again; the service ends by itself, without an error."""
    container = engine.start("--publish", "127.0.0.1::8000", image)
    until(lambda: healthcheck(engine, container))
    address = engine.published(container)
    with contextlib.ExitStack() as people:
        talkers = [people.enter_context(connect(f"ws://{address}/room")) for _ in range(20)]
        streams = [people.enter_context(events(address)) for _ in range(5)]
        assert [talker.recv(60) for talker in talkers] == ["welcome"] * len(talkers)
        assert [stream.read(len(event("welcome"))) for stream in streams] == [event("welcome")] * len(streams)
        talkers[0].send("hello")
        assert [talker.recv(60) for talker in talkers] == ["hello"] * len(talkers)
        assert [stream.read(len(event("hello"))) for stream in streams] == [event("hello")] * len(streams)

        engine.docker("stop", container)

        for talker in talkers:
            with pytest.raises(ConnectionClosed):
                talker.recv(60)
        assert {talker.close_code for talker in talkers} == {1012}
        # An end in the middle would raise IncompleteRead.
        assert [stream.read() for stream in streams] == [b""] * len(streams)
    assert engine.inspect(container, ".State.ExitCode") == 0
    assert {line["level"] for line in engine.logged(container)} == {"INFO"}


def test_an_update_of_the_template(project: Project) -> None:
    services.update(project)
