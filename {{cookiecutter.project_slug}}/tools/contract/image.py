"""The image, its project's settings for the contract, and ways to run it: all through the engine's command line."""

from __future__ import annotations

import base64
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contract.terms import errors

slow = os.environ.get("SLOW") or "1"
if not re.fullmatch(r"[1-9]\d*(\.\d+)?", slow):
    print(f"SLOW is {slow!r}; allowed: a number, such as 10", file=sys.stderr)
    sys.exit(2)
SLOW = float(slow)  # how many times longer than usual everything may take
ENGINE = os.environ.get("DOCKER", "docker")
PYTHON = "/app/.venv/bin/python"
PATIENCE = 15 * SLOW  # seconds, where the contract sets no limit
PROBES = Path(__file__).with_name("probes.py").read_text(encoding="utf-8")
CANARY = "canary-6f1c0b"  # the value of a secret
# Every container of a run has this label, from whichever process: they inherit the environment.
LABEL = f"image-contract={os.environ.setdefault('IMAGE_CONTRACT_RUN', uuid.uuid4().hex)}"


class Unusable(Exception):  # noqa: N818 - an answer, not an error of this program
    """The image can't be examined; the text says why."""


class Broken(AssertionError):  # noqa: N818
    """A point does not hold; the text says what was seen, `fix`, if set, replaces the point's own advice."""

    fix = ""


class Late(Broken):
    """A point took too long, perhaps only because the machine was busy."""


class File(NamedTuple):
    """A file, folder or link in the image."""

    info: tarfile.TarInfo
    digest: str  # of a file below /app, in the form of a wheel's RECORD
    text: str  # of RECORD and METADATA


class Life(NamedTuple):
    """What Image.life saw."""

    start: float | None  # seconds until it was healthy
    early_log: str
    answers: list[int]
    ending: tuple[int, float]  # exit status, and seconds from the signal to the end
    stdout: str
    stderr: str


def engine(*arguments: str, timeout: float = 4 * PATIENCE) -> subprocess.CompletedProcess[str]:
    """Run the engine's program; the caller looks at the exit status. Raises TimeoutExpired."""
    command = [ENGINE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)  # noqa: S603


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the engine's program, to read its output as it comes."""
    return subprocess.Popen([ENGINE, *arguments], stdout=subprocess.PIPE)  # noqa: S603


def output(*arguments: str) -> str:
    """Return the output of the engine's program; Broken when it fails."""
    done = engine(*arguments)
    if done.returncode:
        raise Broken(f"{ENGINE} {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def architecture() -> str:
    """Return the architecture of the engine's machine, named as in images: amd64, arm64."""
    told = json.loads(output("version", "--format", "{{json .}}"))
    server = told.get("Server") or told["Client"]  # Podman has none on the machine itself
    return str(server.get("Arch") or server["OsArch"].rpartition("/")[2])


def remove_containers() -> None:
    """Remove the containers that this run has started and not removed."""
    if left := engine("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout.split():
        engine("rm", "--force", "--volumes", *left)


class Image:
    """The image of the project in the current folder; what several points ask is found out once."""

    def __init__(self, name: str) -> None:
        """Read the project's files, and ask the engine. Raises Unusable."""
        self.name = name
        try:
            self.pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
            self.lock = tomllib.loads(Path("poetry.lock").read_text(encoding="utf-8"))
            self.terms: dict[str, Any] = self.pyproject.get("tool", {}).get("image-contract", {})
            if wrong := errors(self.terms):
                raise Unusable("\n    ".join(["pyproject.toml, [tool.image-contract]:", *wrong]))
            inspected = json.loads(output("image", "inspect", name))[0]
            self.is_emulated = inspected["Architecture"] != architecture()
        except (Broken, OSError, tomllib.TOMLDecodeError) as error:
            hint = (
                f"Run this in the project's folder, after `make image`; {ENGINE}, or what DOCKER names, has to answer."
            )
            raise Unusable(f"{error}\n{hint}") from error
        self.settings = [f"--env={name}={value}" for name, value in self.terms["settings"].items()]
        # Unless the platform is named, engines warn about an image for another one, or refuse to run it.
        platform = "/".join(filter(None, (inspected.get(part) for part in ("Os", "Architecture", "Variant"))))
        self.options = [f"--platform={platform}", f"--label={LABEL}"]
        self.config: dict[str, Any] = inspected["Config"]
        # In two places: Docker's and Podman's.
        self.health: dict[str, Any] = self.config.get("Healthcheck") or inspected.get("Healthcheck") or {}
        self.serves = bool(self.config.get("ExposedPorts"))
        # CMD names the module that `python -m` runs.
        self.package = str((self.config.get("Cmd") or [""])[0]).partition(".")[0]

    def program(self, name: str, *arguments: str) -> list[str]:
        """Return the arguments of `run` that make the image's Python run a program in probes.py."""
        return ["--entrypoint", PYTHON, self.name, "-c", PROBES, name, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a container with the project's settings until it ends; raises TimeoutExpired."""
        return engine("run", "--rm", *self.options, *self.settings, *arguments, timeout=PATIENCE)

    def ask(self, name: str, *arguments: str) -> dict[str, Any]:
        """Return the decoded JSON that a program in probes.py prints; Broken when it fails."""
        done = self.run("--network", "none", *self.program(name, *arguments))
        if done.returncode:
            raise Broken(f"probes.py, {name}: {done.stderr.strip()[-300:]}")
        return dict(json.loads(done.stdout))

    @contextmanager
    def running(self, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
        """Yield a container in which the service is healthy, or fails to become so; remove it in the end."""
        begin = time.monotonic()
        end = begin + self.terms["start-seconds"] * SLOW + PATIENCE
        arguments = ["--detach", *self.options, *self.settings, *options, *(command or [self.name])]
        container = Container(self, output("run", *arguments).strip())
        try:
            while not container.healthy():
                if not container.state("Running") or time.monotonic() > end:
                    break
                time.sleep(0.3)
            else:
                container.start = time.monotonic() - begin
            if container.start is None and (missing := self.asked["missing"]):
                pytest.skip(f"{', '.join(missing)}: no value")
            yield container
        finally:
            engine("rm", "--force", "--volumes", container.id)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The result of `facts` in probes.py: stale bytecode, and values for markers."""
        return self.ask("facts")

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """The result of `settings` in probes.py: the variables of secrets, and those without default and value."""
        return self.ask("settings", self.package)

    @property
    def secrets(self) -> dict[str, str]:
        """The variables of secret settings, and two that no service declares, with their values."""
        known = [name for name in self.asked["secrets"] if name not in self.asked["missing"]]
        return {name: self.terms["settings"].get(name, CANARY) for name in [*known, "API_TOKEN", "DATABASE_PASSWORD"]}

    @cached_property
    def files(self) -> dict[str, File]:
        """Every file of the image by its path, without the slash at the front."""
        container = output("create", *self.options, self.name).strip()
        found = {}
        try:
            with start("export", container) as process, tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for entry in archive:
                    path = entry.name.removeprefix("./")
                    content = archive.extractfile(entry) if path.startswith("app/") and entry.isreg() else None
                    data = content.read() if content else b""
                    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                    text = data.decode() if path.endswith(("/RECORD", "/METADATA")) else ""
                    found[path] = File(entry, digest, text)
        finally:
            engine("rm", "--force", container)
        return found

    @cached_property
    def history(self) -> list[tuple[int, str]]:
        """Size in bytes and command of each step of the build."""
        form = ("--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}")
        steps = re.findall(r"^(\d+) (.*)$", output("history", *form, self.name), re.MULTILINE)
        return [(int(size), command) for size, command in steps]

    @cached_property
    def life(self) -> Life:
        """One run of the service from the start to SIGTERM, with variables that it must not print."""
        secrets = [f"--env={name}={value}" for name, value in self.secrets.items()]
        with self.running("--env=LOG_LEVEL=DEBUG", *secrets) as container:
            early = engine("logs", container.id).stdout
            answers = container.get(8000, "/healthz", "/readyz") if self.serves else []
            ending = container.kill("TERM")
            logs = engine("logs", container.id)
        return Life(container.start, early, answers, ending, logs.stdout, logs.stderr)

    @cached_property
    def verbose(self) -> tuple[str, tuple[int, float]]:
        """What Python reports about imports until the end, first requests included; and the ending on SIGINT."""
        with self.running("--env=PYTHONVERBOSE=1") as container:
            if self.serves:
                container.run("routes", "8000")
            ending = container.kill("INT")
            return engine("logs", container.id).stderr, ending

    @cached_property
    def refused(self) -> dict[str, tuple[int, str]]:
        """Exit status and output for each wrong setting; status 0 if it was accepted."""
        secrets = [f"--env={name}={value}" for name, value in self.secrets.items()]
        found = {}
        for variable, value in {"PORT" if self.serves else "INTERVAL": "abc", "LOG_LEVEL": "unheard-of"}.items():
            try:
                done = self.run(*secrets, f"--env={variable}={value}", self.name)
                found[variable] = (done.returncode, done.stdout + done.stderr)
            except subprocess.TimeoutExpired:
                found[variable] = (0, "")
        return found

    @cached_property
    def load(self) -> tuple[int, dict[str, int]]:
        """The exit status of the service after a stop under load, and what its clients counted."""
        with self.running() as container, container.client("load") as client:
            code, _ = container.kill("TERM")
            return code, json.loads(client.communicate(timeout=PATIENCE)[0] or b"{}")


@dataclass
class Container:
    """A container with the service."""

    image: Image
    id: str
    start: float | None = None  # seconds until it was healthy; None if it is not

    def state(self, name: str) -> bool:
        """Tell whether it is in the state `name`: Running, OOMKilled."""
        return bool(json.loads(output("inspect", self.id))[0]["State"][name])

    def healthy(self) -> bool:
        """Run the image's own health check once."""
        kind, *test = self.image.health.get("Test") or ["CMD", "false"]
        command = test if kind == "CMD" else ["/bin/sh", "-c", *test]
        return engine("exec", self.id, *command).returncode == 0

    def must_be_healthy(self) -> str:
        """Return how long the start took; Broken, with the last line of the log, if the service is not healthy."""
        if self.start is None:
            raise Broken(f"not healthy; {self.last_words()}")
        return f"healthy after {self.start:.1f} s"

    def last_words(self) -> str:
        """Return the last line that the service printed."""
        done = engine("logs", self.id)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return f"its last line: {lines[-1][:200]}" if lines else "it printed nothing"

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program in probes.py beside the service."""
        return engine("exec", self.id, PYTHON, "-c", PROBES, name, *arguments)

    def get(self, port: int, *paths: str) -> list[int]:
        """Return the status of a GET for each path; an empty list if nobody answers."""
        done = self.run("get", str(port), *paths)
        return [] if done.returncode else list(json.loads(done.stdout))

    @contextmanager
    def client(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Yield a program in probes.py that has started, in a container of its own in the service's network."""
        container = f"client-{uuid.uuid4().hex}"
        options = ["--rm", *self.image.options, "--name", container, "--network", f"container:{self.id}"]
        with start("run", *options, *self.image.program(name, str(PATIENCE))) as process:
            try:
                if not process.stdout or process.stdout.readline().strip() != b"started":
                    raise Broken(f"no client gets an answer; {self.last_words()}")
                yield process
            finally:
                engine("rm", "--force", container)

    def kill(self, *signals: str) -> tuple[int, float]:
        """Send the signals, 0.2 s apart; return the exit status and the seconds from the last to the end."""
        with start("wait", self.id) as waiting:
            try:
                for signal in signals:
                    time.sleep(0.2)  # before the first signal: until `wait` waits
                    engine("kill", "--signal", signal, self.id)  # fails if the container has ended by itself
                begin = time.monotonic()
                code = int(waiting.communicate(timeout=2 * PATIENCE)[0] or -1)
                return code, time.monotonic() - begin
            finally:
                waiting.kill()
