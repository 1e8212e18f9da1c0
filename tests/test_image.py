"""Real images of rendered projects: built, started, called, stopped, on a real engine."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.locks import POETRY
from tests.combinations import CHOICES, Answers, identify
from tests.conftest import Bake, Engine, Project, index_environment, lab, run, unavailable

PYTHON = "/app/.venv/bin/python"


def row(python_version: str, service_type: str, mirror: str, build_image: str) -> Answers:
    return {
        "python_version": python_version,
        "service_type": service_type,
        "mirror": mirror,
        "build_image": build_image,
    }


# Every service type on every Python, and every pair of service type, mirror and build image.
IMAGES = [
    row("3.14", "fastapi", "kakao", "slim"),
    row("3.14", "worker", "none", "full"),
    row("3.15", "fastapi", "none", "slim"),
    row("3.15", "worker", "kakao", "slim"),
    row("3.13", "fastapi", "kakao", "full"),
    row("3.13", "worker", "none", "slim"),
    row("3.12", "fastapi", "kakao", "slim"),
    row("3.12", "worker", "none", "slim"),
    row("3.11", "fastapi", "none", "slim"),
    row("3.11", "worker", "kakao", "slim"),
]


def test_list_covers_every_python_and_service_type() -> None:
    have = {(answers["python_version"], answers["service_type"]) for answers in IMAGES}
    assert have == {(v, s) for v in CHOICES["python_version"] for s in CHOICES["service_type"]}


@pytest.fixture
def mirror_log() -> "MirrorLog":
    if not lab():
        unavailable("this test reads the log of the lab's mirror, and the lab is not in use")
    return MirrorLog(Path(lab()["LAB_MIRROR_LOG"]))


class MirrorLog:
    """The log of the lab's mirror, from now on."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, path.stat().st_size

    def requests(self) -> list[str]:
        with self.path.open() as file:
            file.seek(self.start)
            return file.read().splitlines()


@pytest.mark.parametrize("answers", IMAGES, ids=identify)
def test_build_start_call_stop(bake: Bake, engine: Engine, answers: Answers) -> None:
    engine.need(answers["python_version"])
    project = bake(**answers)
    image, _ = engine.build(project)
    for _ in range(3):  # a busy machine may be late
        container, seconds = live(engine, project, image)
        if seconds < 1:
            break
    else:
        pytest.fail(f"the stop took {seconds:.1f} s, three times")

    logs = engine.docker("logs", container)
    lines = logs.stdout.splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines), logs.stdout
    assert logs.stderr == ""

    assert "usage: python -m json.tool" in engine.docker("run", "--rm", image, "json.tool", "--help").stdout
    slug = project.answers["project_slug"]
    source = f"import importlib.metadata, os; print(importlib.metadata.version({slug!r}), os.getuid())"
    done = engine.docker("run", "--rm", "--entrypoint", "/app/.venv/bin/python", image, "-c", source)
    assert done.stdout.split() == ["0.1.0", "10001"]


def test_packages_come_from_the_chosen_mirror(bake: Bake, engine: Engine, mirror_log: MirrorLog) -> None:
    project = bake(mirror="kakao")
    _, done = engine.build(project, "--no-cache-filter", "tools,deps")
    assert "failed" not in done.stderr
    fetched = [line for line in mirror_log.requests() if "/pypi/packages/" in line]
    assert any("/uv-" in line for line in fetched)
    assert any("/uv-" not in line for line in mirror_log.requests() if "/pypi/simple/" in line)


def test_no_mirror_means_no_request_to_it(bake: Bake, engine: Engine) -> None:
    # The name leads nowhere: a request to it would fail, and the build with it.
    project = bake(mirror="none")
    flags, engine.build_flags = engine.build_flags, ("--network", "host") if lab() else ()
    try:
        _, done = engine.build(project, "--no-cache-filter", "tools,deps", "--build-arg", "MIRROR_FALLBACK=0")
    finally:
        engine.build_flags = flags
    assert "mirror:" not in done.stderr


def fails(engine: Engine, project: Project, *words: str) -> None:
    """Build an image, which must fail with one line that holds all `words`."""
    _, done = engine.build(project, check=False)
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if all(word in line for word in words)], done.stderr[-3000:]


def test_missing_lock_fails_in_plain_words(bake: Bake, engine: Engine) -> None:
    project = bake()
    (project.path / "poetry.lock").unlink()
    fails(engine, project, "poetry.lock is missing", "make lock")


def test_stale_lock_fails_in_plain_words(bake: Bake, engine: Engine) -> None:
    project = bake()
    add_dependency(project, "six>=1")
    fails(engine, project, "poetry.lock does not fit pyproject.toml", "make lock")


def test_package_without_a_wheel(bake: Bake, engine: Engine) -> None:
    # docopt is published as a source archive only.
    for build_image in CHOICES["build_image"]:
        project = bake(build_image=build_image, project_slug=f"without-wheel-{build_image}", service_type="worker")
        add_dependency(project, "docopt==0.6.2")
        relock(project)
        if build_image == "slim":
            fails(engine, project, "docopt", "no wheel", "build_image=full")
        else:
            image, _ = engine.build(project)
            engine.docker("run", "--rm", image, "docopt")


# The files in a package's RECORD, and whether all of them are there (`files()` leaves out those that are not).
FILES = """
from importlib.metadata import distribution
package = distribution("greenlet")
names = [line.split(",")[0] for line in package.read_text("RECORD").splitlines()]
print(*names, all(package.locate_file(name).exists() for name in names))
"""


def test_packages_come_without_their_own_tests(bake: Bake, engine: Engine) -> None:
    project = bake(service_type="worker")
    add_dependency(project, "greenlet>=3")  # small, and ships its tests
    relock(project)
    image, _ = engine.build(project)
    *files, complete = engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", FILES).stdout.split()
    assert complete == "True"
    assert "greenlet/__init__.py" in files
    assert not [file for file in files if "/tests/" in file]
    found = ("run", "--rm", "--entrypoint", "find", image, "/app/.venv", "-name", "test_greenlet.py")
    assert engine.docker(*found).stdout == ""


def test_unknown_debian_package_fails_in_plain_words(bake: Bake, engine: Engine) -> None:
    for name in ("apt-build.txt", "apt-runtime.txt"):
        project = bake()
        project.write(f"docker/{name}", "no-such-package\n")
        fails(engine, project, "no-such-package", "correct docker/apt-build.txt or docker/apt-runtime.txt")


def test_debian_packages_reach_the_stage_that_they_are_for(bake: Bake, engine: Engine) -> None:
    project = bake(service_type="worker")
    project.write("docker/apt-build.txt", "tree  # a comment\n")
    project.write("docker/apt-runtime.txt", "# a comment\n\nfile\n")
    image, _ = engine.build(project)
    listed = engine.docker(
        "run", "--rm", "--entrypoint", "dpkg-query", image, "-W", "-f", "${Package}\n"
    ).stdout.split()
    assert "file" in listed
    assert "tree" not in listed


def test_empty_lists_run_no_apt(bake: Bake, engine: Engine) -> None:
    _, done = engine.build(bake(), "--no-cache-filter", "deps,runtime")
    assert "Reading package lists" not in done.stderr


def relock(project: Project) -> None:
    run(*POETRY, "lock", cwd=project.path, env={"POETRY_PYPI_MIRROR_URL": index_environment()["PYPI_MIRROR"]})


def add_dependency(project: Project, requirement: str) -> None:
    text = project.read("pyproject.toml")
    project.write("pyproject.toml", text.replace("dependencies = [\n", f'dependencies = [\n    "{requirement}",\n', 1))


def live(engine: Engine, project: Project, image: str) -> tuple[str, float]:
    """Start the service, call it, stop it; return the container and the seconds that the stop took."""
    container = engine.start("--publish", "127.0.0.1::8000", image)
    if project.answers["service_type"] == "fastapi":
        status, body = call(engine, container, "/healthz")
        assert status == 200, body
    else:
        until(5, lambda: healthcheck(engine, container, project))
    until(5, lambda: engine.inspect(container, ".State.Health.Status") == "healthy")
    code, seconds = stop(engine, container)
    assert code == 0
    return container, seconds


def call(engine: Engine, container: str, path: str) -> tuple[int, str]:
    """Return status and body of a GET, from a service that has 5 s to start."""
    address = engine.docker("port", container, "8000/tcp").stdout.split()[0]
    host, port = address.rsplit(":", 1)
    answer: list[tuple[int, str]] = []

    def get() -> bool:
        connection = http.client.HTTPConnection(host, int(port), timeout=2)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            answer.append((response.status, response.read().decode()))
        return bool(answer)

    until(5, get)
    return answer[0]


def healthcheck(engine: Engine, container: str, project: Project) -> bool:
    command = ("/app/.venv/bin/python", "-m", f"{project.package}.healthcheck")
    return engine.docker("exec", container, *command, check=False).returncode == 0


def until(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, `seconds` at most."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def stop(engine: Engine, container: str) -> tuple[int, float]:
    """Send SIGTERM; return the exit status, and the seconds from the signal to the end, by the engine's clock."""
    begin = time.time() - 1
    engine.docker("kill", "--signal", "TERM", container)
    code = int(engine.docker("wait", container).stdout)
    period = ("--since", f"{begin:.3f}", "--until", f"{time.time() + 1:.3f}")
    events = engine.docker("events", *period, "--filter", f"container={container}", "--format", "{{json .}}").stdout
    times = {event["Action"]: event["timeNano"] / 1e9 for event in map(json.loads, events.splitlines())}
    return code, times["die"] - times["kill"]
