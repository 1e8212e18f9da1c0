import importlib
from collections.abc import Callable

from .helpers import PACKAGE, Process


def test_wrong_settings_end_the_service_without_a_traceback(start: Callable[..., Process]) -> None:
    line = "wrong settings: LOG_LEVEL is 'loud', allowed: DEBUG INFO WARNING ERROR CRITICAL\n"
    assert start("-m", PACKAGE, LOG_LEVEL="loud").result() == (2, [], line)


def test_a_failure_at_the_start_is_logged_as_one_object(start: Callable[..., Process]) -> None:
    script = f"""
import runpy, sys
sys.modules["{PACKAGE}.{% if cookiecutter.service_type == "fastapi" %}app{% else %}worker{% endif %}"] = None
runpy.run_module("{PACKAGE}", run_name="__main__")
"""
    result = start("-c", script).result()
    assert (result.code, result.errors) == (1, "")
    assert [line["message"] for line in result.logs] == ["uncaught exception"]
    assert "ModuleNotFoundError" in result.logs[0]["traceback"]


def test_importing_the_entry_point_starts_nothing() -> None:
    importlib.import_module(f"{PACKAGE}.__main__")
