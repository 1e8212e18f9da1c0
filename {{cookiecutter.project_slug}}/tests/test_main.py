import importlib
from collections.abc import Callable

from helpers import PACKAGE, Process


def test_wrong_settings_end_the_service_without_a_traceback(start: Callable[..., Process]) -> None:
    line = "wrong settings: LOG_LEVEL is 'loud', allowed: DEBUG INFO WARNING ERROR CRITICAL\n"
    assert start("-m", PACKAGE, LOG_LEVEL="loud").result() == (2, [], line)


def test_importing_the_entry_point_starts_nothing() -> None:
    importlib.import_module(f"{PACKAGE}.__main__")
