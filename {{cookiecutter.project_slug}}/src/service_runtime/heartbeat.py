"""The heartbeat of a worker, and its health check: `python -m service_runtime.heartbeat` exits with 0 or 1.

The check runs every few seconds, so it uses only the standard library, and little of it. For --watch see `health`.
"""

import os
import time
from pathlib import Path

from service_runtime.health import report

# The one place that is writable in a read-only container.
HEARTBEAT = Path(os.environ.get("TMPDIR", "/tmp"), "service.heartbeat")  # noqa: S108


class Heartbeat:
    """The heartbeat of a worker: a file with the time by which the next beat is due.

    The time is that of the monotonic clock, so setting the wall clock does no harm. It is overwritten in place: once
    the file exists, a full disk does no harm either.
    """

    def __init__(self, max_age: float) -> None:
        """Create the file; `max_age` is in seconds. Raises OSError when it can't be written."""
        self._max_age = max_age
        self._file = os.open(HEARTBEAT, os.O_WRONLY | os.O_CREAT, 0o600)
        self.beat()

    def beat(self) -> None:
        """Show that the worker is alive, and that the next beat is due within the maximum age."""
        os.pwrite(self._file, f"{time.monotonic() + self._max_age:020.6f}".encode(), 0)


def check() -> tuple[bool, str]:
    """Return whether the next heartbeat is not overdue, and a reason."""
    try:
        left = float(HEARTBEAT.read_text()) - time.monotonic()
    except (OSError, ValueError) as error:
        return False, f"no heartbeat: {error}"
    return left >= 0, f"heartbeat due in {left:.1f} s"


if __name__ == "__main__":
    report(check)
