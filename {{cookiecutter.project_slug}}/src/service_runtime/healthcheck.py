"""The health check of a server: `python -m service_runtime.healthcheck` exits with 0 or 1 and prints one line why.

It runs every few seconds, so it uses only the standard library, and little of it. For --watch see `health`.
"""

import os
import socket

from service_runtime.health import report

TIMEOUT = 1.5  # seconds


def check() -> tuple[bool, str]:
    """Return whether GET /healthz on PORT answers 200 in time, and a reason."""
    try:
        port = int(os.environ.get("PORT", "8000"))
        with socket.socket() as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            status = connection.recv(len("HTTP/1.1 200")).decode("latin-1")
    except (OSError, ValueError) as error:
        return False, f"no answer: {error}"
    return status.endswith(" 200"), f"answered {status!r}"


if __name__ == "__main__":
    report(check)
