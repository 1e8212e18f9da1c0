"""Servers beside a service, from Debian: each test runs its own, on an address that nobody else has."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.engine import until
from tests.helpers.machine import lab, unavailable
from tests.helpers.project import run
from tests.lab.engine import LAB


def debian(*packages: str) -> None:
    """See to it that this machine has Debian packages; the lab installs them."""
    if not lab():
        unavailable(f"this test needs {', '.join(packages)}, which the lab installs")
    run(LAB, "install", *packages)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on."""
    with socket.create_server((host, 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int, host: str) -> bool:
    """Return whether something does."""
    with contextlib.suppress(OSError), socket.create_connection((host, port)):
        return True
    return False


@contextlib.contextmanager
def server(*command: str | Path, port: int, host: str = "127.0.0.1") -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground, which listens on `port`; it is ended afterwards."""
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin") or command[0]
    with subprocess.Popen([program, *command[1:]], stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: listens(port, host))
            yield process
        finally:
            process.terminate()
