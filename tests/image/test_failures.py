"""What docs/runtime.md says about failures: kill -9, no memory left, a full /tmp, a clock that jumps."""

import itertools
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.helpers.combinations import CHOICES
from tests.helpers.engine import PYTHON, Build, Engine, call, healthcheck, stop, until
from tests.helpers.project import Project

PROBES = Path(__file__).with_name("probes")
RESTARTED = ("--restart", "on-failure")
HOG = "hog = b'x' * 400_000_000; print(len(hog))"


def probe(project: Project, image: str, name: str) -> tuple[str, ...]:
    """Return the arguments of `run` that make the image's Python run the service by way of a program in probes/."""
    return ("--entrypoint", PYTHON, image, "-c", (PROBES / name).read_text(), project.package)


def inside(engine: Engine, container: str, source: str, *, check: bool = True) -> str:
    """Run a program in a container, beside the service; return what it prints."""
    return engine.docker("exec", container, PYTHON, "-c", source, check=check).stdout


def kill(engine: Engine, container: str) -> None:
    """Kill the service from the engine's machine, as the kernel would. (`docker kill` would count as a wish.)"""
    os.kill(int(engine.inspect(container, ".State.Pid")), signal.SIGKILL)


def healthy(engine: Engine, container: str) -> None:
    """Wait until the container's own health check holds."""
    until(lambda: healthcheck(engine, container))


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_kill_9_of_the_service_ends_the_container_which_is_started_again(
    build: Build, engine: Engine, service: str
) -> None:
    _, image = build(service_type=service)
    container = engine.start(*RESTARTED, image)
    healthy(engine, container)
    kill(engine, container)
    until(lambda: bool(engine.inspect(container, ".RestartCount") == 1))
    healthy(engine, container)
    # Without a policy, the status is the usual one for signal 9.
    container = engine.start(image)
    healthy(engine, container)
    kill(engine, container)
    assert engine.docker("wait", container).stdout.strip() == "137"


@pytest.mark.parametrize("steps", [10, 500])
def test_kill_9_loses_no_log_line_that_was_written(build: Build, engine: Engine, tmp_path: Path, steps: int) -> None:
    """What a worker has acknowledged after logging it is in the log, whenever it is killed."""
    project, image = build(service_type="worker")
    tmp_path.chmod(0o777)
    file = tmp_path / "steps"
    file.touch(0o666)
    file.chmod(0o666)
    container = engine.start("--volume", f"{tmp_path}:/acknowledged", *probe(project, image, "acknowledging.py"))
    until(lambda: int(file.read_text() or 0) >= steps)
    engine.docker("kill", "--signal", "KILL", container)
    assert engine.docker("wait", container).stdout.strip() == "137"
    logged = [line["step"] for line in engine.logged(container) if "step" in line]
    assert logged == list(range(1, len(logged) + 1))
    assert int(file.read_text()) in (len(logged), len(logged) - 1)


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_out_of_memory(build: Build, engine: Engine, service: str) -> None:
    project, image = build(service_type=service)
    limit = ("--memory", "192m", "--memory-swap", "192m")
    container = engine.start(*limit, *RESTARTED, *probe(project, image, "greedy.py"))
    healthy(engine, container)
    # Another process in the container is too large: the kernel kills that one.
    done = engine.docker("exec", container, PYTHON, "-c", HOG, check=False)
    assert (done.returncode, done.stdout) == (137, "")
    assert healthcheck(engine, container)
    assert engine.inspect(container, ".RestartCount") == 0
    # The service itself is too large: the container ends, and is started again.
    inside(engine, container, "import pathlib; pathlib.Path('/tmp/now').touch()")
    until(lambda: bool(engine.inspect(container, ".RestartCount") == 1))
    healthy(engine, container)


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_full_tmp(build: Build, engine: Engine, service: str) -> None:
    _, image = build(service_type=service)
    container = engine.start(
        *("--tmpfs", "/tmp:size=1m", "--publish", "127.0.0.1::8000", "--env", "INTERVAL=0.5", image)
    )
    healthy(engine, container)
    assert inside(engine, container, (PROBES / "fill.py").read_text()).strip() == "No space left on device"
    if service == "fastapi":
        assert call(engine, container, "/greeting")[0] == 200
    else:
        # Jobs are done as before, and so is the sign of life.
        heartbeat = ("exec", container, "cat", "/tmp/service.health")
        jobs, beat = len(engine.logged(container)), engine.docker(*heartbeat).stdout
        until(lambda: len(engine.logged(container)) > jobs)
        until(lambda: engine.docker(*heartbeat).stdout > beat)
    assert healthcheck(engine, container)
    assert stop(engine, container) == 0


INTERVAL = 0.2  # seconds between two jobs


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_clock_that_jumps(build: Build, engine: Engine, service: str) -> None:
    """libfaketime moves the wall clock of a running service two days on, and four back."""
    _, image = build("libfaketime", service_type=service)
    library = engine.docker(
        *("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "ls /usr/lib/*/faketime/libfaketime.so.1")
    ).stdout.strip()
    container = engine.start(
        *("--env", f"LD_PRELOAD={library}", "--env", "FAKETIME_TIMESTAMP_FILE=/tmp/clock"),
        *("--env", "FAKETIME_NO_CACHE=1", "--env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "--env", "LOG_LEVEL=DEBUG"),
        *("--env", f"INTERVAL={INTERVAL}", "--publish", "127.0.0.1::8000", image),
    )
    healthy(engine, container)

    def jobs() -> list[datetime]:
        """Return when each job has begun, by the clock that jumps."""
        lines = [line for line in engine.logged(container) if line["message"] == "did step 1"]
        return [datetime.fromisoformat(line["timestamp"]) for line in lines]

    for days in ("+2d", "-2d"):
        inside(engine, container, f"import pathlib; pathlib.Path('/tmp/clock').write_text('{days}')")
        if service == "fastapi":
            assert call(engine, container, "/greeting")[0] == 200
        else:
            # No job waits for two days.
            before = len(jobs())
            until(lambda before=before: len(jobs()) > before + 5)  # type: ignore[misc]
        assert healthcheck(engine, container)
    # And none is made up for: there is a wait before each, but for the one at which the clock went back.
    waits = [(after - before).total_seconds() for before, after in itertools.pairwise(jobs())]
    assert sum(wait < INTERVAL * 0.9 for wait in waits) <= 1
    assert stop(engine, container) == 0
    # The jump was one: the stop is logged two days ago.
    last = datetime.fromisoformat(engine.logged(container)[-1]["timestamp"])
    assert 1.9 < (datetime.now(UTC) - last).total_seconds() / 86400 < 2.1
