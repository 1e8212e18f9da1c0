"""A Docker engine: build a project's image, start a container, call it, stop it."""

import contextlib
import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.machine import lab, unavailable
from tests.helpers.project import Project, Run, run
from tests.lab.engine import LAB

Build = Callable[..., tuple[Project, str]]

PYTHON = "/app/.venv/bin/python"
GIVE_UP = 60  # seconds: what has not happened by then never will, on the busiest machine
WITHOUT_STAND_IN = {"3.12"}  # no release of Debian has that Python, so the lab has no base image with it


@dataclass
class Engine:
    """A Docker engine, the suite of each Python image that it has, and the flags that make a build use the lab."""

    suites: Mapping[str, str]
    build_flags: tuple[str, ...] = ()
    containers: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def need(self, version: str) -> None:
        """Skip the test when there is no base image with that Python; in CI that fails, unless none can be had."""
        if version not in self.suites:
            message = f"the engine has no base image with Python {version}"
            if version in WITHOUT_STAND_IN:
                pytest.skip(message)
            unavailable(message)

    def docker(self, *arguments: str | Path, check: bool = True) -> Run:
        """Run `docker` with `arguments`."""
        return run("docker", *arguments, check=check)

    def build(self, project: Project, *options: str, check: bool = True) -> tuple[str, Run]:
        """Build the project's image; return its tag, and what the build printed."""
        version = project.answers["python_version"]
        tag = f"template-test/{project.answers['project_slug']}:{os.getpid()}-{len(self.images)}"
        self.images.append(tag)
        if lab() and project.answers["build_image"] == "full":
            run(LAB, "full", version)
        done = self.docker(
            *("build", "--progress=plain", "--tag", tag, *self.build_flags),
            *("--build-arg", f"DEBIAN_SUITE={self.suites[version]}", *options, str(project.path)),
            check=check,
        )
        return tag, done

    def start(self, *arguments: str) -> str:
        """Start a container in the background, hardened as in production; return its id."""
        hardened = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"]
        container = self.docker("run", "--detach", *hardened, *arguments).stdout.strip()
        self.containers.append(container)
        return container

    def inspect(self, thing: str, template: str) -> Any:
        """Return what `docker inspect` tells of a container or an image, decoded from JSON."""
        return json.loads(self.docker("inspect", "--format", f"{{{{json {template}}}}}", thing).stdout)

    def published(self, container: str) -> str:
        """Return where on this machine the port of a service is: host and port."""
        return self.docker("port", container, "8000/tcp").stdout.split()[0]

    def logged(self, container: str) -> list[dict[str, Any]]:
        """Return what a service has logged: each line must be a JSON object, and nothing may be on stderr."""
        done = self.docker("logs", container)
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    def clean(self) -> None:
        """Remove every container and image that was made through this object."""
        if self.containers:
            self.docker("rm", "--force", "--volumes", *self.containers, check=False)
        if self.images:
            self.docker("rmi", "--force", *self.images, check=False)


def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + GIVE_UP
    while not condition():
        assert time.monotonic() < end, f"not within {GIVE_UP} s"
        time.sleep(0.05)


def healthcheck(engine: Engine, container: str) -> bool:
    """Run the image's own health check in a container, once."""
    _, *command = engine.inspect(container, ".Config.Healthcheck.Test")
    return engine.docker("exec", container, *command, check=False).returncode == 0


def call(engine: Engine, container: str, path: str) -> tuple[int, str]:
    """Return status and body of a GET, once the service answers."""
    host, port = engine.published(container).rsplit(":", 1)
    answer: list[tuple[int, str]] = []

    def get() -> bool:
        connection = http.client.HTTPConnection(host, int(port), timeout=GIVE_UP)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            answer.append((response.status, response.read().decode()))
        return bool(answer)

    until(get)
    return answer[0]


def stop(engine: Engine, container: str) -> int:
    """Send SIGTERM; return the exit status."""
    engine.docker("kill", "--signal", "TERM", container)
    return int(engine.docker("wait", container).stdout)


def live(engine: Engine, image: str) -> str:
    """Start the service, see it healthy, call it if it has a port, stop it; return the container."""
    container = engine.start("--publish", "127.0.0.1::8000", image)
    until(lambda: healthcheck(engine, container))
    if engine.inspect(image, ".Config.ExposedPorts"):
        status, body = call(engine, container, "/healthz")
        assert status == 200, body
    until(lambda: bool(engine.inspect(container, ".State.Health.Status") == "healthy"))
    assert stop(engine, container) == 0
    return container
