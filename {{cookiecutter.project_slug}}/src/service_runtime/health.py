"""How a health check ends: with 0 or 1, and a line that says why.

Starting an interpreter costs much more than one check. So with --watch, as in HEALTHCHECK, a process that finds the
service healthy keeps checking for WATCH seconds, and ends as soon as it is not. Only the first process that finds it
healthy ends at once.

It uses only the standard library, and little of it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

WATCH = 25  # seconds, less than the time limit of HEALTHCHECK
PAUSE = 3  # seconds between two checks
# The last result: the start time of PID 1 if the service was healthy. (/tmp may outlive the service.)
TOLD = Path(os.environ.get("TMPDIR", "/tmp"), "service.healthy")  # noqa: S108

Check = Callable[[], tuple[bool, str]]


def report(check: Check) -> None:
    """Print the result of `check`, whether the service is healthy and why; end the process with 0 or 1."""
    healthy, reason = watch(check) if "--watch" in sys.argv else check()
    print("healthy:" if healthy else "unhealthy:", reason)
    sys.exit(not healthy)


def watch(check: Check) -> tuple[bool, str]:
    """Return the result of `check`: at once if it changes, else after WATCH seconds of a healthy service."""
    healthy, reason = check()
    try:
        began = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
        told = TOLD.read_text() if TOLD.exists() else ""
        end = time.monotonic() + WATCH
        while healthy and told == began and time.monotonic() < end:
            time.sleep(PAUSE)
            healthy, reason = check()
        TOLD.write_text(began if healthy else "")
    except OSError:  # a full disk, or another system than Linux: every check answers at once
        pass
    return healthy, reason
