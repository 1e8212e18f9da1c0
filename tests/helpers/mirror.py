"""What the tests of the mirror switch share: a tool that goes through it, what it says, and where upstream is."""

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.engine import Engine
from tests.helpers.machine import lab
from tests.helpers.project import Project, Run, run

# A name, since pip 25 checks no certificate for an address.
HOST = "localhost"
PACKAGE = "annotated-types"  # small, and locked for every service type
FILE = PACKAGE.replace("-", "_") + "-*.whl"
USER, PASSWORD = "unruly-reader", "correct-horse-battery"


@dataclass
class Tool:
    """pip or uv, run as `mirror.py index` of a project on this machine, to install PACKAGE from a list."""

    name: str
    project: Project
    folder: Path
    options: tuple[str, ...] = ("--no-deps", "--require-hashes")

    @property
    def installed(self) -> set[str]:
        """What it has installed: names of files and folders."""
        return {path.name for path in self.folder.glob("environment/lib/*/site-packages/annotated_types*")}

    def __call__(self, url: str | None, **env: str) -> Run:
        """Install PACKAGE from the index `url` (None: as the project's own files say) into a new environment."""
        environment, bundle = self.folder / "environment", self.folder / "bundle.pem"
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", environment)
        python = f"--python={environment}/bin/python"
        commands = {
            "pip": [sys.executable, "-m", "pip", python, "install", "--no-cache-dir", "--only-binary", ":all:"],
            "uv": ["uv", "pip", "install", "--no-cache", "--no-build", python],
        }
        command = [*commands[self.name], "--quiet", *self.options, "-r", str(self.folder / "requirements.txt")]
        bundle.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + Path(lab()["LAB_CA"]).read_bytes())
        env = {
            "SSL_CERT_FILE": str(bundle),
            "SSL_CERT_DIR": "",
            "NETRC": str(self.folder / "netrc"),
            **({} if url is None else {"PYPI_MIRROR": url}),
            **env,
        }
        script = self.project.path / "tools/image/mirror.py"
        return run(sys.executable, script, "index", *command, cwd=self.folder, env=env, check=False)


def lines(done: Run, *words: str) -> list[str]:
    """Return the lines of mirror.py's own that hold all `words`."""
    printed = [re.sub(r"^#\d+ [\d.]+ ", "", line) for line in done.stderr.splitlines()]
    return [line for line in printed if line.startswith("mirror: ") and all(word in line for word in words)]


def in_base_image(
    engine: Engine, project: Project, version: str, *arguments: str, options: tuple[str, ...] = (), **env: str
) -> Run:
    """Run `tools/image/mirror.py` of a project in a base image, on this machine's network."""
    variables = [f"--env={name}={value}" for name, value in env.items()]
    image, script = f"python:{version}-slim-{engine.suites[version]}", "/project/tools/image/mirror.py"
    return engine.docker(
        *("run", "--rm", "--network", "host", "--volume", f"{project.path}:/project:ro", *options, *variables),
        *(image, "python", "-B", script, *arguments),
        check=False,
    )


def upstream_host() -> str:
    """Return the host of the package index that pip uses when nothing is set."""
    told = run(sys.executable, "-m", "pip", "--isolated", "download", "--help", env={"COLUMNS": "500"}).stdout
    found = re.search(r"--index-url <url>.*?\(default https?://([^/:)]+)", told, re.DOTALL)
    assert found, told
    return found[1]


@contextlib.contextmanager
def recording_proxy() -> Iterator[tuple[str, set[str]]]:
    """Run a proxy that refuses every connection; yield its address and the hosts that it was asked for."""
    hosts: set[str] = set()

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if asked := re.match(rb"CONNECT ([^:]+):", connection.recv(4096)):
                    hosts.add(asked[1].decode())
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", hosts
        listener.shutdown(socket.SHUT_RDWR)
