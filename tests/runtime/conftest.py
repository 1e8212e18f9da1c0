"""What the tests of service_runtime share. They need pytest and what the template's own code in a project imports.

They run twice: here, by this repository's Python, and by that of every rendered project (test_quality.py).
"""

import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from service_runtime.settings import ServerSettings, WorkerSettings
from service_runtime.stop import stop
from tests.runtime.processes import Process
from tests.runtime.services import Service

# A rendered project has the modules of its service type only; test_<module>_*.py needs one.
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if path.stem.split("_")[1] in ("server", "protocol", "middleware", "probes", "loop")
    and not find_spec(f"service_runtime.{path.stem.split('_')[1]}")
]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an environment and logging of its own, with no stop requested."""
    for kind in (ServerSettings, WorkerSettings):
        for name in kind.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("service_runtime.health.NOTE", tmp_path / "service.health")
    for name in ("requested", "failed", "running", "delay", "timeout", "status"):
        monkeypatch.setattr(stop, name, getattr(stop, name))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
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


@pytest.fixture
def port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def serve(start: Callable[..., Process], port: int) -> Iterator[Callable[..., Service]]:
    """Start the application that a function of sample.app makes. It is not killed: its coverage counts."""
    services: list[Service] = []

    def serve(function: str = "create_app", **environment: str) -> Service:
        run = f"sample.app:{function}"
        services.append(Service(start("-m", "sample", TEST_RUN=run, PORT=str(port), **environment), port))
        return services[-1]

    yield serve
    for service in services:
        service.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.process.communicate(timeout=10)
