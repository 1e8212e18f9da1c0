"""What a service does before it serves: it hears signals, logs its failures, refuses wrong settings."""

import signal
from collections.abc import Callable

import pytest

from tests.runtime.processes import Process


def test_wrong_settings_end_the_service_without_a_traceback(start: Callable[..., Process]) -> None:
    line = "wrong settings: LOG_LEVEL is 'LOUD', allowed: DEBUG INFO WARNING ERROR CRITICAL\n"
    assert start(
        "-m", "sample", TEST_RUN="sample.settings:Settings", LOG_LEVEL="loud", TEST_WITHOUT="multiprocessing"
    ).result() == (2, [], line)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("sample", "'sample' is given; allowed: module:function, such as example_service.app:create_app"),
        (":create", "':create' is given; allowed: module:function"),
        ("sample.nowhere:create", "No module named 'sample.nowhere'"),
        ("sample:nothing", "has no attribute 'nothing'"),
    ],
)
def test_a_wrong_name_is_logged_as_one_object(start: Callable[..., Process], name: str, error: str) -> None:
    result = start("-m", "sample", TEST_RUN=name).result()
    assert (result.code, result.errors) == (1, "")
    assert [line["message"] for line in result.logs] == ["uncaught exception"]
    assert error in result.logs[0]["traceback"]


@pytest.mark.parametrize("function", ["serve", "work"])
def test_both_ways_to_start_want_a_name(start: Callable[..., Process], function: str) -> None:
    result = start("-c", f"import service_runtime\nservice_runtime.{function}('app')").result()
    assert (result.code, result.errors) == (1, "")
    assert "'app' is given; allowed: module:function" in result.logs[0]["traceback"]


def test_processes_of_a_pool_log_alike(start: Callable[..., Process]) -> None:
    result = start("-m", "sample", TEST_RUN="sample.waiting:pool", LOG_LEVEL="debug").result()
    assert (result.code, result.errors) == (0, "")
    assert [line["message"] for line in result.logs if line["logger"] == "root"] == ["in a pool", "seen"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_start_ends_it_at_once(start: Callable[..., Process], number: signal.Signals) -> None:
    process = start("-m", "sample", TEST_RUN="sample.waiting:wait", SHUTDOWN_TIMEOUT="3600")
    process.read_line("waiting")
    process.send_signal(number)
    assert process.result() == (0, [], "")


def test_little_is_imported_before_signals_are_heard(start: Callable[..., Process]) -> None:
    """The kernel drops a signal that reaches PID 1 before."""
    script = "import sys, signal; bare = {*sys.modules}; import service_runtime.stop; print(*{*sys.modules} - bare)"
    process = start("-c", script)
    assert set(process.communicate()[0].split()) == {"service_runtime", "service_runtime.stop"}
