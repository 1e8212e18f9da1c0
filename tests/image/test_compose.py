"""`make up` and `make watch`: the image of `make image` in a container, as compose.yaml and .env say."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.combinations import CHOICES
from tests.helpers.dotenv import TEXT, VALUES
from tests.helpers.engine import Engine, until
from tests.helpers.project import Bake, Project

FILES = {"fastapi": "app.py", "worker": "worker.py"}


def free_port() -> str:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture(params=CHOICES["service_type"])
def project(bake: Bake, request: pytest.FixtureRequest) -> Project:
    return bake(service_type=request.param, project_slug=f"composed-{request.param}", package_name="composed")


@pytest.fixture
def settings(project: Project, engine: Engine) -> Iterator[dict[str, str]]:
    """Return the environment of `make`, with switches for the build and for the service; in the end, stop it."""
    image = f"template-test/{project.answers['project_slug']}-{os.getpid()}"
    engine.images.append(image)
    settings = {
        "IMAGE": image,
        "DEBIAN_SUITE": engine.suites["3.14"],
        "BUILD_FLAGS": " ".join([*engine.build_flags, "--label switch=honoured"]),
        "PORT": free_port(),
    }
    yield settings
    project.make("down", env=settings)


def container(engine: Engine, project: Project) -> str:
    """Return the id of the project's container, or nothing."""
    label = f"label=com.docker.compose.project.working_dir={project.path.resolve()}"
    return engine.docker("ps", "--quiet", "--no-trunc", "--filter", label).stdout.strip()


def test_up_starts_what_image_builds(project: Project, settings: dict[str, str], engine: Engine) -> None:
    project.write(".env", f"{TEXT}LOG_LEVEL=WARNING\nPORT=1\n")
    project.make("up", env=settings)
    started = container(engine, project)
    project.make("image", env=settings)  # the same again
    built = engine.inspect(settings["IMAGE"], ".Id")
    assert engine.inspect(started, ".Image") == built
    labels = engine.inspect(built, ".Config.Labels")
    assert (labels["switch"], labels["org.opencontainers.image.version"]) == ("honoured", "0.1.0")
    environment = engine.inspect(started, ".Config.Env")
    wanted = VALUES | {"LOG_LEVEL": "WARNING"}
    assert {f"{name}={value}" for name, value in wanted.items()} <= {*environment}
    if project.answers["service_type"] == "fastapi":
        with urllib.request.urlopen(f"http://127.0.0.1:{settings['PORT']}/healthz", timeout=60) as answer:
            assert answer.status == 200
    project.make("down", env=settings)
    assert not container(engine, project)


def test_checkouts_of_one_name_side_by_side(bake: Bake, engine: Engine, tmp_path: Path) -> None:
    """And a name of which Compose can make none for itself."""
    image = f"template-test/twins-{os.getpid()}"
    engine.images.append(image)
    env = {"IMAGE": image, "DEBIAN_SUITE": engine.suites["3.14"], "BUILD_FLAGS": " ".join(engine.build_flags)}
    twins = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        project = bake(service_type="worker")
        twins.append(Project(project.path.rename(tmp_path / place / "서비스"), project.answers))
    try:
        for twin in twins:
            twin.make("up", env=env)
        first, second = (container(engine, twin) for twin in twins)
        assert first
        assert second
        assert first != second
        twins[1].make("down", env=env)
        assert [container(engine, twin) for twin in twins] == [first, ""]
    finally:
        for twin in twins:
            twin.make("down", env=env)


@contextlib.contextmanager
def watching(project: Project, env: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run `make watch` in the background; end it as Ctrl-C does."""
    # A suite in the background ignores Ctrl-C, which is handed down.
    command = ["env", "--default-signal=INT", "make", "--no-print-directory", "watch"]
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, cwd=project.path, env={**os.environ, **env}, stdout=file, stderr=file, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)


def test_what_is_saved_arrives_in_the_container(
    project: Project, settings: dict[str, str], engine: Engine, tmp_path: Path
) -> None:
    """The file, byte for byte, and then it is what runs: there is no stale bytecode of it."""
    name = f"src/composed/{FILES[project.answers['service_type']]}"
    log = tmp_path / "log"

    def inside() -> bytes:
        copied = ("cp", f"{container(engine, project)}:/app/{name}", tmp_path / "copy")
        return (tmp_path / "copy").read_bytes() if engine.docker(*copied, check=False).returncode == 0 else b""

    def logged(message: str) -> int:
        lines = [line.partition(" | ")[2] for line in log.read_text().splitlines() if ' | {"' in line]
        return [json.loads(line)["message"] for line in lines].count(message)

    with watching(project, settings, log):
        until(lambda: "Watch enabled" in log.read_text() and inside() != b"")
        # A fault that keeps it from starting ends nothing.
        for text in ("1 / 0\n", "import logging\nlogging.getLogger().warning('the new one')\n"):
            project.write(name, project.read(name).removesuffix("1 / 0\n") + text)
            wanted = (project.path / name).read_bytes()
            until(lambda wanted=wanted: inside() == wanted)  # type: ignore[misc]
        until(lambda: logged("the new one") > 0)
