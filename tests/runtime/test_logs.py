import logging
import sys
import threading
import types
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service_runtime import logs
from tests.runtime.processes import Process, logged


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("shop").info("two\nlines of %s", "text", extra={"order": 7, "color_message": "-"})
    logging.getLogger("shop").debug("not shown")
    [line] = logged(capsys.readouterr().out)
    time = datetime.fromisoformat(line.pop("timestamp"))
    assert line == {"level": "INFO", "logger": "shop", "message": "two\nlines of text", "order": 7}
    assert time.tzinfo == UTC
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=5)


def test_a_line_says_which_request_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    token = logs.request_id.set("abc")
    logging.info("within")
    logs.request_id.reset(token)
    logging.info("after")
    within, after = logged(capsys.readouterr().out)
    assert within["request_id"] == "abc"
    assert "request_id" not in after


@pytest.mark.parametrize(
    ("scope", "method", "route"),
    [
        ({"method": "GET", "path": "/", "client": None}, "GET", "/"),
        ({"method": "GET", "path": "/a/1/b/1", "path_params": {"a": "1", "b": "1"}}, "GET", "/a/{a}/b/{b}"),
        ({"method": "GET", "path": "/x/7/70", "path_params": {"seven": 7}}, "GET", "/x/{seven}/70"),
        ({"path": "/files/a/b", "path_params": {"path": "a/b", "other": "?"}}, "WEBSOCKET", "/files/{path}"),
    ],
)
def test_the_line_of_a_request_names_its_route(
    scope: dict[str, Any], method: str, route: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    logs.access({"client": ("127.0.0.1", 1), **scope}, 200, 0.0)
    [line] = logged(capsys.readouterr().out)
    assert (line["method"], line["route"], line["status"]) == (method, route, 200)
    assert line["client"] == ("" if "client" in scope else "127.0.0.1")
    assert line["duration_ms"] > 0


def test_a_traceback_stays_inside_its_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.exception("failed")
    [line] = logged(capsys.readouterr().out)
    assert line["traceback"].endswith("ZeroDivisionError: division by zero")


class Silent:
    def __str__(self) -> str:
        raise RuntimeError("no text")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("홍길동", "홍길동"),
        ("\udc80 \u2028 \x85", "\udc80 \u2028 \x85"),
        (float("nan"), "nan"),
        (b"bytes", "b'bytes'"),
        (Silent(), "<Silent that has no text>"),
        (CIRCLE, "[[...]]"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_whatever_is_logged_is_one_object(value: object, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.info("주문", extra={"given": value})
    written = capsys.readouterr()
    [line] = logged(written.out)
    assert (line["message"], line["given"], written.err) == ("주문", shown, "")
    assert "주문" in written.out


def test_arguments_that_do_not_fit_lose_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.info("%d orders", "many")
    written = capsys.readouterr()
    assert [line["message"] for line in logged(written.out)] == ["%d orders ('many',)"]
    assert written.err == ""


def test_warnings_and_uncaught_exceptions_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    sys.excepthook(KeyError, KeyError("main"), None)
    thread = threading.Thread(target={}.pop, args=["thread"])
    thread.start()
    thread.join()
    warning, main, other = logged(capsys.readouterr().out)
    assert "DeprecationWarning: old" in warning["message"]
    assert (main["level"], main["traceback"]) == ("CRITICAL", "KeyError: 'main'")
    assert other["traceback"].endswith("KeyError: 'thread'")


def test_an_exception_in_a_destructor_is_logged(start: Callable[..., Process]) -> None:
    script = "class A:\n def __del__(self): raise KeyError('gone')\nA()"
    result = start("-c", f"from service_runtime import logs\nlogs.configure()\n{script}").result()
    assert (result.code, result.errors) == (0, "")
    assert result.logs[0]["traceback"].endswith("KeyError: 'gone'")


def test_a_terminal_gets_lines_to_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    logs.configure()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.exception("failed", extra={"order": 7})
    head, *_, last = capsys.readouterr().out.splitlines()
    assert head[8:] == " ERROR root: failed order=7"
    assert last == "ZeroDivisionError: division by zero"


# Pretends that the packages of OpenTelemetry are there; tests/services has a service with the real ones.
PACKAGES = """
import os, sys, types
for name in ("opentelemetry", "opentelemetry.instrumentation", "opentelemetry.trace"):
    sys.modules[name] = types.ModuleType(name)
started = types.ModuleType("opentelemetry.instrumentation.auto_instrumentation")
started.initialize = lambda: print(os.environ["OTEL_SERVICE_NAME"])
sys.modules[started.__name__] = started
"""


@pytest.mark.parametrize(
    ("packages", "environment", "shown"),
    [
        (PACKAGES, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "shop"),
        (PACKAGES, {"OTEL_SERVICE_NAME": "till"}, "till"),
        (PACKAGES, {}, ""),
        ("import sys; sys.modules['opentelemetry'] = None", {"OTEL_SERVICE_NAME": "till"}, ""),
    ],
)
def test_traces_start_if_the_packages_are_there_and_variables_ask_for_them(
    start: Callable[..., Process], packages: str, environment: dict[str, str], shown: str
) -> None:
    process = start("-c", f"{packages}\nfrom service_runtime import logs\nlogs.trace('shop')", **environment)
    assert process.communicate() == (f"{shown}\n" if shown else "", "")


@pytest.mark.parametrize("valid", [True, False])
def test_a_line_says_which_trace_it_belongs_to(
    valid: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = types.SimpleNamespace(is_valid=valid, trace_id=10)
    span = types.SimpleNamespace(get_span_context=lambda: context)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", types.SimpleNamespace(get_current_span=lambda: span))
    logs.configure()
    logging.info("within")
    [line] = logged(capsys.readouterr().out)
    assert line.get("trace_id") == ("a".rjust(32, "0") if valid else None)


def test_the_line_of_a_request_has_a_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger().setLevel("WARNING")
    logs.access({"method": "GET", "path": "/", "client": None}, 200, 0.0)
    assert capsys.readouterr().out == ""
