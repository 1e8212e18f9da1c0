"""Python processes, and their logs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import service_runtime

# Where service_runtime is, and the package `sample`.
SOURCES = os.pathsep.join([str(Path(service_runtime.__file__).parents[1]), str(Path(__file__).parent)])


class Result(NamedTuple):
    """How a process ended: its exit status (-n for signal n), what it logged, what it printed as errors."""

    code: int
    logs: list[dict[str, Any]]
    errors: str


class Process(subprocess.Popen[str]):
    """A running Python."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        """Start Python with `arguments` and further environment variables."""
        super().__init__(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": SOURCES, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_line(self, text: str = "") -> str:
        """Return the next line on stdout that holds `text`, without its end."""
        assert self.stdout
        return next(line.rstrip() for line in self.stdout if text in line)

    def result(self, timeout: float = 60) -> Result:
        """Wait for the end, for `timeout` seconds at most; each line on stdout must be a JSON object."""
        output, errors = self.communicate(timeout=timeout)
        return Result(self.returncode, logged(output), errors)


def logged(output: str) -> list[dict[str, Any]]:
    """Return the log lines in `output`, each of which must be a JSON object."""
    return [json.loads(line) for line in output.splitlines()]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, for a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
