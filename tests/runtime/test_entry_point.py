"""What a service does before it serves: it hears signals, logs its failures, refuses wrong settings."""

from collections.abc import Callable

from tests.runtime.processes import Process

SETTINGS = """
from service_runtime import prepare
prepare()
from service_runtime.settings import Settings, load
load(Settings)
"""


def test_wrong_settings_end_the_service_without_a_traceback(start: Callable[..., Process]) -> None:
    line = "wrong settings: LOG_LEVEL is 'loud', allowed: DEBUG INFO WARNING ERROR CRITICAL\n"
    assert start("-c", SETTINGS, LOG_LEVEL="loud").result() == (2, [], line)


def test_a_failure_at_the_start_is_logged_as_one_object(start: Callable[..., Process]) -> None:
    result = start("-c", "import service_runtime\nservice_runtime.prepare()\nimport nowhere").result()
    assert (result.code, result.errors) == (1, "")
    assert [line["message"] for line in result.logs] == ["uncaught exception"]
    assert "ModuleNotFoundError" in result.logs[0]["traceback"]
