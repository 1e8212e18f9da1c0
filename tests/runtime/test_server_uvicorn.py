"""What service_runtime overrides in uvicorn, and calls there: `make newest` says so when a release drops it."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service_runtime.protocol import Parser, Protocol
from service_runtime.server import Server


@pytest.mark.parametrize(
    ("theirs", "name"),
    [
        *((uvicorn.Server, name) for name in ("capture_signals", "shutdown", "serve")),
        *((HttpToolsProtocol, name) for name in ("connection_made", "shutdown", "on_message_begin")),
        *((HttpToolsProtocol, name) for name in ("on_headers_complete", "on_message_complete")),
        *((httptools.HttpRequestParser, name) for name in ("feed_data", "should_upgrade", "get_method")),
    ],
)
def test_what_is_overridden_is_there(theirs: type, name: str) -> None:
    assert callable(getattr(theirs, name, None)), f"{theirs.__name__} has no {name} any more"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (HttpToolsProtocol.__init__, ["self", "config", "server_state", "app_state"]),
        (uvicorn.Server.shutdown, ["self", "sockets"]),
        (uvicorn.Server.serve, ["self", "sockets"]),
    ],
)
def test_parameters_are_those_that_are_given(function: Callable[..., Any], parameters: list[str]) -> None:
    assert [*inspect.signature(function).parameters][: len(parameters)] == parameters


def test_nothing_more_is_overridden() -> None:
    """The list above is complete."""
    own = {name for kind in (Server, Protocol, Parser) for name in vars(kind) if not name.startswith("__")}
    known = {name for kind in (uvicorn.Server, HttpToolsProtocol, httptools.HttpRequestParser) for name in dir(kind)}
    assert own & known == {
        *("capture_signals", "shutdown", "connection_made"),
        *("on_message_begin", "on_headers_complete", "on_message_complete", "feed_data"),
    }


def test_state_that_is_read_is_there() -> None:
    server = uvicorn.Server(uvicorn.Config(lambda _: None))
    state = SimpleNamespace(**vars(server), **vars(server.server_state))
    assert {"started", "should_exit", "connections", "tasks", "config"} <= vars(state).keys()
