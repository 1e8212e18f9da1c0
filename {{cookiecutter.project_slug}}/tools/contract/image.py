"""The image, its project's settings for the contract, and ways to run it: all through the engine's command line."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pytest

slow = os.environ.get("SLOW") or "1"
if not re.fullmatch(r"[1-9]\d*(\.\d+)?", slow):
    print(f"SLOW is {slow!r}; allowed: a number, such as 10", file=sys.stderr)
    sys.exit(2)
SLOW = float(slow)  # how many times longer than usual everything may take
ENGINE = os.environ.get("DOCKER", "docker")
PYTHON = "/app/.venv/bin/python"
PATIENCE = 15 * SLOW  # seconds, where the contract sets no limit
PROBES = Path(__file__).with_name("probes.py").read_text(encoding="utf-8")
LABEL = f"image-contract={uuid.uuid4().hex}"  # of every container of this run
KEYS = ["settings", "start-seconds", "memory", "cpus", "pids", "tmp", "budget", "except"]  # of [tool.image-contract]
NoFile = Callable[[list[str], str], str]
point = pytest.mark.point


class File(NamedTuple):
    """A file, folder or link in the image."""

    info: tarfile.TarInfo
    digest: str  # of a file below /app, in the form of a wheel's RECORD
    text: str  # of a RECORD


def none_of(found: list[str]) -> None:
    """Fail with the first five of the things found, if there are any."""
    assert not found, ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def engine(*arguments: str, timeout: float = 4 * PATIENCE) -> subprocess.CompletedProcess[str]:
    """Run the engine's program; the caller looks at the exit status. Raises TimeoutExpired."""
    return subprocess.run([ENGINE, *arguments], capture_output=True, text=True, timeout=timeout, check=False)  # noqa: S603


def popen(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the engine's program, to read its output as it comes."""
    return subprocess.Popen([ENGINE, *arguments], stdout=subprocess.PIPE)  # noqa: S603


def output(*arguments: str) -> str:
    """Return the output of the engine's program; AssertionError when it fails."""
    done = engine(*arguments)
    assert not done.returncode, f"{ENGINE} {arguments[0]}: {done.stderr.strip()[-300:]}"
    return done.stdout


def remove_containers() -> None:
    """Remove the containers that this run has started and not removed."""
    with contextlib.suppress(OSError):  # no engine
        if left := engine("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout.split():
            engine("rm", "--force", "--volumes", *left)


class Image:
    """The image of the project in the current folder; what several points ask is found out once."""

    def __init__(self, name: str) -> None:
        """Read the project's files, and ask the engine. Raises pytest.UsageError."""
        self.name = name
        try:
            self.pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
            self.lock = tomllib.loads(Path("poetry.lock").read_text(encoding="utf-8"))
            self.terms: dict[str, Any] = self.pyproject.get("tool", {}).get("image-contract", {})
            given = ", ".join(sorted(self.terms))
            assert sorted(self.terms) == sorted(KEYS), f"[tool.image-contract] has {given}; needed: {', '.join(KEYS)}"
            inspected = json.loads(output("image", "inspect", name))[0]
            told = json.loads(output("version", "--format", "{{json .}}"))
        except (AssertionError, OSError, tomllib.TOMLDecodeError) as error:
            hint = f"Run this in the project's folder, after `make image`; {ENGINE} (DOCKER=) has to answer."
            raise pytest.UsageError(f"{name} can't be examined: {error}\n{hint}") from error
        server = told.get("Server") or told["Client"]  # Podman has none on the machine itself
        self.is_emulated = inspected["Architecture"] != (server.get("Arch") or server["OsArch"].rpartition("/")[2])
        # Unless the platform is named, engines warn about an image for another one, or refuse to run it.
        platform = "/".join(filter(None, (inspected.get(part) for part in ("Os", "Architecture", "Variant"))))
        self.options = [f"--platform={platform}", f"--label={LABEL}"]
        self.settings = [f"--env={name}={value}" for name, value in self.terms["settings"].items()]
        # As in deploy/base/kubernetes.yaml, as any user of group 0. The contract asks for health itself.
        self.hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=1000660000:0"]
        limits = {"cpus": "cpus", "pids": "pids-limit", "memory": "memory", "tmp": "tmpfs=/tmp:size"}
        if self.is_emulated:
            del limits["memory"]  # each process has that of its emulator as well
        self.hardened += ["--no-healthcheck", *(f"--{limit}={self.terms[key]}" for key, limit in limits.items())]
        self.config: dict[str, Any] = inspected["Config"]
        # In two places: Docker's and Podman's.
        self.health: dict[str, Any] = self.config.get("Healthcheck") or inspected.get("Healthcheck") or {}
        self.serves = bool(self.config.get("ExposedPorts"))

    def program(self, name: str, *arguments: str) -> list[str]:
        """Return the arguments of `run` that make the image's Python run a program in probes.py."""
        return ["--entrypoint", PYTHON, self.name, "-c", PROBES, name, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a container with the project's settings until it ends; raises TimeoutExpired."""
        return engine("run", "--rm", *self.options, *self.settings, *arguments, timeout=PATIENCE)

    @contextlib.contextmanager
    def running(self, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
        """Yield a container in which the service is healthy, with production's rights and limits; remove it in the end.

        `options` of the engine's `run` override them. AssertionError if the service does not become healthy.
        """
        assert self.health.get("Test"), "the image has no HEALTHCHECK (Podman keeps it with --format docker only)"
        begin = time.monotonic()
        latest = begin + self.terms["start-seconds"] * SLOW + PATIENCE
        arguments = [*self.options, *self.hardened, *self.settings, *options, *(command or [self.name])]
        container = Container(self, output("run", "--detach", *arguments).strip())
        try:
            while not container.healthy():
                if not container.state("Running") or time.monotonic() > latest:
                    words = container.last_words()
                    if "wrong settings" in words:
                        pytest.skip(f"{words}; give it a value: settings in [tool.image-contract]")
                    raise AssertionError(f"not healthy; ...{words[-200:]}")
                time.sleep(0.3)
            container.start = time.monotonic() - begin
            yield container
        finally:
            engine("rm", "--force", "--volumes", container.id)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `facts` in probes.py prints: sources without true bytecode, and values for markers."""
        done = self.run("--network=none", *self.program("facts"))
        assert not done.returncode, f"probes.py: {done.stderr.strip()[-300:]}"
        return dict(json.loads(done.stdout))

    @cached_property
    def files(self) -> dict[str, File]:
        """Every file of the image by its path, without the slash at the front."""
        container = output("create", *self.options, self.name).strip()
        found = {}
        try:
            with popen("export", container) as process, tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for entry in archive:
                    path = entry.name.removeprefix("./")
                    content = archive.extractfile(entry) if path.startswith("app/") and entry.isreg() else None
                    data = content.read() if content else b""
                    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                    found[path] = File(entry, digest, data.decode() if path.endswith("/RECORD") else "")
        finally:
            engine("rm", "--force", container)
        return found

    @cached_property
    def history(self) -> list[tuple[int, str]]:
        """Size in bytes and command of each step of the build."""
        form = ("--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}")
        steps = re.findall(r"^(\d+) (.*)$", output("history", *form, self.name), re.MULTILINE)
        return [(int(size), command) for size, command in steps]


@dataclass
class Container:
    """A container with the service."""

    image: Image
    id: str
    start: float = 0  # seconds until it was healthy

    def state(self, name: str) -> bool:
        """Tell whether it is in the state `name`: Running, OOMKilled."""
        return bool(json.loads(output("inspect", self.id))[0]["State"][name])

    def healthy(self) -> bool:
        """Run the image's own health check once."""
        kind, *test = self.image.health["Test"]
        return not engine("exec", self.id, *(test if kind == "CMD" else ["/bin/sh", "-c", *test])).returncode

    def last_words(self) -> str:
        """Return the last line that the service printed, or that it needed too much memory."""
        if self.state("OOMKilled"):
            return f"killed: more than {self.image.terms['memory']} of memory"
        done = engine("logs", self.id)
        return f"its last line: {(done.stdout + done.stderr).strip().rpartition(chr(10))[2]}"

    def get(self, port: int, *paths: str) -> list[int]:
        """Return the status of a GET for each path; an empty list if nobody answers."""
        done = engine("exec", self.id, PYTHON, "-c", PROBES, "get", str(port), *paths)
        return [] if done.returncode else list(json.loads(done.stdout))

    @contextlib.contextmanager
    def client(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Yield a program in probes.py that has started, in a container of its own in the service's network."""
        container = f"client-{uuid.uuid4().hex}"
        options = ["--rm", *self.image.options, "--name", container, "--network", f"container:{self.id}"]
        with popen("run", *options, *self.image.program(name, str(PATIENCE))) as process:
            try:
                is_started = process.stdout and process.stdout.readline().strip() == b"started"
                assert is_started, f"no client gets an answer; {self.last_words()}"
                yield process
            finally:
                engine("rm", "--force", container)

    def kill(self, *signals: str) -> tuple[int, float]:
        """Send the signals, 0.2 s apart; return the exit status and the seconds from the last to the end."""
        with popen("wait", self.id) as waiting:
            try:
                for signal in signals:
                    time.sleep(0.2)  # before the first signal: until `wait` waits
                    engine("kill", "--signal", signal, self.id)  # fails if the container has ended by itself
                begin = time.monotonic()
                return int(waiting.communicate(timeout=PATIENCE)[0] or -1), time.monotonic() - begin
            except subprocess.TimeoutExpired as error:
                raise AssertionError(f"no end after {PATIENCE:g} s") from error
            finally:
                waiting.kill()
