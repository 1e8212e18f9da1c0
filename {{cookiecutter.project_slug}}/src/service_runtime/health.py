"""How a health check ends: with 0 or 1, and a line that says why. HEALTHCHECK asks on while all is well.

To start an interpreter costs much more than to ask. So, with --watch, a check that finds the service well goes on
asking for WATCH seconds, and ends as soon as it is not. The first one that finds it well says so at once.

Standard library only, and little of it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

WATCH = 25  # seconds, less than the time limit of HEALTHCHECK
PAUSE = 3  # seconds between two questions
# What the check before told: when it was well, the time at which PID 1 began, since /tmp may outlive the service.
TOLD = Path(os.environ.get("TMPDIR", "/tmp"), "service.healthy")  # noqa: S108

Check = Callable[[], tuple[bool, str]]


def report(check: Check) -> None:
    """Print what `check` returns, whether the service is well and why; end the process with 0 or 1."""
    healthy, reason = watch(check) if "--watch" in sys.argv else check()
    print("healthy:" if healthy else "unhealthy:", reason)
    sys.exit(not healthy)


def watch(check: Check) -> tuple[bool, str]:
    """Return what `check` returns; after WATCH seconds, or when the service is not well, if it was at the last look."""
    healthy, reason = check()
    try:
        began = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
        told = TOLD.read_text() if TOLD.exists() else ""
        end = time.monotonic() + WATCH
        while healthy and told == began and time.monotonic() < end:
            time.sleep(PAUSE)
            healthy, reason = check()
        TOLD.write_text(began if healthy else "")
    except OSError:  # no place to note it (a full disk), or another system: every check answers at once
        pass
    return healthy, reason
