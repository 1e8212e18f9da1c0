"""What the tests of service_runtime share. They need pytest and what the template's own code in a project imports.

They run twice: here, by this repository's Python, and by that of every rendered project (test_quality.py).
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from service_runtime.stop import stop
from tests.runtime.processes import Process

# A rendered project has the modules of its service type only.
collect_ignore = [f"test_{name}.py" for name in ("server", "probes", "healthcheck", "loop", "heartbeat")]
collect_ignore = [name for name in collect_ignore if not find_spec(f"service_runtime.{name[5:-3]}")]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an environment and logging of its own, with no stop requested."""
    for name in ("LOG_LEVEL", "SHUTDOWN_TIMEOUT", "HOST", "PORT", "INTERVAL", "HEARTBEAT_MAX_AGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if find_spec("service_runtime.heartbeat"):
        monkeypatch.setattr("service_runtime.heartbeat.HEARTBEAT", tmp_path / "service.heartbeat")
    monkeypatch.setattr(stop, "requested", False)
    monkeypatch.setattr(stop, "timeout", stop.timeout)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start a `Process`; what still runs after the test is killed."""
    processes: list[Process] = []

    def run(*arguments: str | Path, **environment: str) -> Process:
        processes.append(Process(*arguments, **environment))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()
