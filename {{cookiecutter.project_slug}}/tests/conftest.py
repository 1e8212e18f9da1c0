"""What all tests share."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

{% if cookiecutter.service_type == "worker" -%}
from {{ cookiecutter.package_name }} import healthcheck
{% endif -%}
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.stop import stop

from .helpers import Process


@pytest.fixture(autouse=True)
def surroundings({% if cookiecutter.service_type == "worker" %}tmp_path: Path, {% endif %}monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an environment and logging of its own, with no stop requested."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
{%- if cookiecutter.service_type == "worker" %}
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(healthcheck, "HEARTBEAT", tmp_path / healthcheck.HEARTBEAT.name)
{%- endif %}
    monkeypatch.setattr(stop, "requested", False)
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
