"""What docs/runtime.md says about failures: kill -9, no memory left, a full /tmp, a clock that jumps."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.combinations import CHOICES, ROOT
from tests.conftest import Engine, Project
from tests.test_image import call, healthcheck, stop, until

Build = Callable[..., tuple[Project, str]]
PYTHON = "/app/.venv/bin/python"
RESTARTED = ("--restart", "on-failure")

# The worker with a job that acknowledges each step in a file on a volume, after it has logged it.
ACKNOWLEDGING = """
import itertools, logging, os, runpy
from PACKAGE import worker
def job(go_on):
    with open("/acknowledged/steps", "w") as file:
        for step in itertools.count(1):
            if not go_on():
                return
            logging.info("step", extra={"step": step})
            os.pwrite(file.fileno(), b"%d" % step, 0)
worker.job = job
runpy.run_module("PACKAGE", run_name="__main__")
"""
HOG = "hog = b'x' * 400_000_000; print(len(hog))"
# The service itself takes it, in a thread, some time after it has started.
GREEDY = """
import runpy, threading, time
def take():
    time.sleep(2)
    global hog
    hog = b"x" * 400_000_000
threading.Thread(target=take, daemon=True).start()
runpy.run_module("PACKAGE", run_name="__main__")
"""
KILL_ALL = "import os; os.kill(-1, 9)"
FILL = """
import os
try:
    with open("/tmp/full", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture(scope="module")
def build(cookies_session: Any, engine: Engine) -> Build:
    """Return a function that bakes a project with the default Python and builds its image, once per service type."""
    built: dict[str, tuple[Project, str]] = {}

    def build(service: str, *packages: str) -> tuple[Project, str]:
        key = " ".join((service, *packages))
        if key not in built:
            result = cookies_session.bake(extra_context={"service_type": service}, template=str(ROOT))
            assert result.exit_code == 0, result.exception
            project = Project(result.project_path, result.context)
            project.write("docker/apt-runtime.txt", "\n".join(packages))
            built[key] = (project, engine.build(project)[0])
        return built[key]

    return build


def program(project: Project, image: str, source: str) -> tuple[str, ...]:
    """Return the arguments of `run` that make the image's Python run `source`, in which PACKAGE is the project's."""
    return ("--entrypoint", PYTHON, image, "-c", source.replace("PACKAGE", project.package))


def inside(engine: Engine, container: str, source: str, *, check: bool = True) -> str:
    """Run a program in a container, beside the service; return what it prints."""
    return engine.docker("exec", container, PYTHON, "-c", source, check=check).stdout


def logged(engine: Engine, container: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in engine.docker("logs", container).stdout.splitlines()]


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_kill_9_of_the_service_ends_the_container_which_is_started_again(
    build: Build, engine: Engine, service: str
) -> None:
    project, image = build(service)
    container = engine.start(*RESTARTED, image)
    until(10, lambda: healthcheck(engine, container, project))
    # Every process but the init, this program included.
    inside(engine, container, KILL_ALL, check=False)
    until(10, lambda: bool(engine.inspect(container, ".RestartCount") == 1))
    until(10, lambda: healthcheck(engine, container, project))
    # Without a policy, the status is the usual one for signal 9.
    container = engine.start(image)
    until(10, lambda: healthcheck(engine, container, project))
    inside(engine, container, KILL_ALL, check=False)
    assert engine.docker("wait", container).stdout.strip() == "137"


def test_kill_9_loses_no_log_line_that_was_written(build: Build, engine: Engine, tmp_path: Path) -> None:
    """What a worker has acknowledged after logging it is in the log, whenever it is killed."""
    project, image = build("worker")
    tmp_path.chmod(0o777)
    source = program(project, image, ACKNOWLEDGING)
    for wait in (0.3, 0.7):
        container = engine.start("--volume", f"{tmp_path}:/acknowledged", *source)
        until(10, lambda: bool((tmp_path / "steps").exists() and (tmp_path / "steps").read_text()))
        time.sleep(wait)
        engine.docker("kill", "--signal", "KILL", container)
        assert engine.docker("wait", container).stdout.strip() == "137"
        steps = [line["step"] for line in logged(engine, container) if "step" in line]
        acknowledged = int((tmp_path / "steps").read_text())
        assert acknowledged > 10
        assert steps == list(range(1, len(steps) + 1))
        assert acknowledged in (len(steps), len(steps) - 1)
        (tmp_path / "steps").unlink()


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_out_of_memory(build: Build, engine: Engine, service: str) -> None:
    project, image = build(service)
    limit = ("--memory", "192m", "--memory-swap", "192m")
    # Another process in the container is too large: the kernel kills that one.
    container = engine.start(*limit, image)
    until(10, lambda: healthcheck(engine, container, project))
    done = engine.docker("exec", container, PYTHON, "-c", HOG, check=False)
    assert (done.returncode, done.stdout) == (137, "")
    assert healthcheck(engine, container, project)
    # The service itself is too large: the container ends, and is started again.
    container = engine.start(*limit, *RESTARTED, *program(project, image, GREEDY))
    until(20, lambda: bool(engine.inspect(container, ".RestartCount") >= 1))
    until(10, lambda: healthcheck(engine, container, project))


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_full_tmp(build: Build, engine: Engine, service: str) -> None:
    project, image = build(service)
    settings = ("--env", "HEARTBEAT_MAX_AGE=1", "--env", "INTERVAL=0.5") if service == "worker" else ()
    container = engine.start("--tmpfs", "/tmp:size=1m", "--publish", "127.0.0.1::8000", *settings, image)
    until(10, lambda: healthcheck(engine, container, project))
    assert inside(engine, container, FILL).strip() == "No space left on device"
    before = len(logged(engine, container))
    time.sleep(2)
    assert healthcheck(engine, container, project)
    if service == "fastapi":
        assert call(engine, container, "/greeting")[0] == 200
    else:
        assert len(logged(engine, container)) > before
    assert stop(engine, container)[0] == 0


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_clock_that_jumps(build: Build, engine: Engine, service: str) -> None:
    """libfaketime moves the wall clock of a running service two days on, and four back."""
    project, image = build(service, "libfaketime")
    library = engine.docker(
        *("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "ls /usr/lib/*/faketime/libfaketime.so.1")
    ).stdout.strip()
    settings = ("--env", "HEARTBEAT_MAX_AGE=2", "--env", "INTERVAL=0.2") if service == "worker" else ()
    container = engine.start(
        *("--env", f"LD_PRELOAD={library}", "--env", "FAKETIME_TIMESTAMP_FILE=/tmp/clock"),
        *("--env", "FAKETIME_NO_CACHE=1", "--env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "--env", "LOG_LEVEL=DEBUG"),
        *("--publish", "127.0.0.1::8000", *settings, image),
    )
    until(10, lambda: healthcheck(engine, container, project))
    for days in ("+2d", "-2d"):
        inside(engine, container, f"import pathlib; pathlib.Path('/tmp/clock').write_text('{days}')")
        count = len(logged(engine, container))
        time.sleep(3)
        assert healthcheck(engine, container, project)
        if service == "fastapi":
            assert call(engine, container, "/greeting")[0] == 200
        else:
            # A job every 0.2 s, before and after; none waits for two days, and none is made up for.
            assert 9 < len(logged(engine, container)) - count < 80
    code, seconds = stop(engine, container)
    assert (code, seconds < 2) == (0, True)
    # The jump was one: the stop is logged two days ago.
    last = datetime.fromisoformat(logged(engine, container)[-1]["timestamp"])
    assert 1.9 < (datetime.now(UTC) - last).total_seconds() / 86400 < 2.1
