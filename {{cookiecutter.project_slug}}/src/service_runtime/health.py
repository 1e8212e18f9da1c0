"""The image's health check: `python -m service_runtime.health` exits with 0 or 1 and prints one line that says why.

A server is healthy if GET /healthz answers 200 in time; a worker, if its next heartbeat is not overdue. The service
notes in a file what to ask. This runs every few seconds, so it uses little of the standard library, and nothing else.
"""

import os
import socket
import sys
import time
from pathlib import Path

TIMEOUT = 1.5  # seconds
# The one place that is writable in a read-only container.
NOTE = Path(os.environ.get("TMPDIR", "/tmp"), "service.health")  # noqa: S108


def note(text: str) -> None:
    """Note "port HOST PORT" or "due TIME" (of the monotonic clock). Raises OSError."""
    file = os.open(NOTE, os.O_WRONLY | os.O_CREAT, 0o600)
    os.pwrite(file, f"{text:<80}".encode(), 0)  # in place: once the file exists, a full disk does no harm
    os.close(file)


def check() -> tuple[bool, str]:
    """Return whether the service is healthy, and a reason."""
    try:
        noted = NOTE.read_text() if NOTE.exists() else f"port 127.0.0.1 {os.environ.get('PORT', 8000)}"
        kind, where, *port = noted.split()
        if kind == "due":
            left = float(where) - time.monotonic()
            return left >= 0, f"heartbeat due in {left:.1f} s"
        with socket.create_connection((where, int(port[0])), TIMEOUT) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            status = connection.recv(len("HTTP/1.1 200")).decode("latin-1")
    except (OSError, ValueError, IndexError) as error:
        return False, f"no answer: {error}"
    return status.endswith(" 200"), f"answered {status!r}"


if __name__ == "__main__":
    healthy, reason = check()
    print("healthy:" if healthy else "unhealthy:", reason)
    sys.exit(not healthy)
