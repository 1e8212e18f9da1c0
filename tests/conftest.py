"""Fixtures for all tests: bake a project, build its image on a real engine."""

import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.engine import Build, Engine
from tests.helpers.machine import lab, unavailable
from tests.helpers.project import Bake, Project, baked, run
from tests.helpers.repository import template_repository
from tests.lab.engine import containerd_host, network

# The project's tools are imported where they stand, in the template: bytecode beside them would be rendered.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests/runtime as quick: that room knows no marks, since rendered projects run it, too."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests/runtime"):
            item.add_marker(pytest.mark.quick)


@pytest.fixture(scope="session")
def rendered(cookies_session: Any) -> Bake:
    """Return a function that bakes a project once for the same answers: leave what it returns as it is."""
    done: dict[str, Project] = {}

    def rendered(**answers: str) -> Project:
        key = json.dumps(answers, sort_keys=True)
        if key not in done:
            done[key] = baked(cookies_session, answers)
        return done[key]

    return rendered


@pytest.fixture
def bake(rendered: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bake]:
    """Return a function that gives a test a project of its own: `bake(service_type="worker")`."""
    folder, numbers = tmp_path_factory.mktemp("baked"), itertools.count()

    def bake(**answers: str) -> Project:
        project = rendered(**answers)
        copy = folder / str(next(numbers)) / project.path.name
        return Project(shutil.copytree(project.path, copy, symlinks=True), project.answers)

    yield bake
    shutil.rmtree(folder)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Return a git repository that holds this template as it is in the work tree."""
    return template_repository(tmp_path / "template")


@pytest.fixture(scope="session")
def build(cookies_session: Any, engine: Engine) -> Build:
    """Return a function that bakes a project and builds its image: `project, image = build(service_type="worker")`.

    It does so once for the same answers and Debian packages (`packages`, for docker/apt-runtime.txt); a test that
    changes the project bakes and builds its own.
    """
    built: dict[str, tuple[Project, str]] = {}

    def build(*packages: str, **answers: str) -> tuple[Project, str]:
        answers = {name: offered[0] for name, offered in CHOICES.items()} | answers
        engine.need(answers["python_version"])
        key = json.dumps([packages, answers], sort_keys=True)
        if key not in built:
            project = baked(cookies_session, answers)
            if packages:
                project.write("docker/apt-runtime.txt", "\n".join(packages))
            built[key] = (project, engine.build(project, "--build-arg", "VERSION=0.1.0")[0])
        return built[key]

    return build


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker engine in use."""
    if not shutil.which("docker") or run("docker", "info", check=False).returncode:
        unavailable("no Docker engine answers: image tests need one (on Debian as root, `make test` brings up the lab)")
    if lab():
        tags = run("docker", "image", "ls", "--format", "{{.Tag}}", "python").stdout.split()
        suites = dict(tag.split("-slim-") for tag in tags if "-slim-" in tag)
        found = Engine(suites, tuple(network()))
    else:
        found = Engine(dict.fromkeys(CHOICES["python_version"], "trixie"))
    yield found
    found.clean()


@pytest.fixture(scope="session")
def containerd(engine: Engine) -> dict[str, str]:  # noqa: ARG001 - the lab is up then
    """Return the environment that leads to the lab's second engine, whose image store is containerd's.

    That store keeps attestations and writes images that come out bit for bit the same.
    """
    if not lab():
        unavailable("this test needs an engine with the containerd image store, as the lab has one")
    return {"DOCKER_HOST": containerd_host()}


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a git identity and a cookiecutter configuration of its own."""
    config = tmp_path_factory.mktemp("home") / "gitconfig"
    config.write_text("[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(config.with_name("cookiecutterrc")))
    config.with_name("cookiecutterrc").write_text(
        f"cookiecutters_dir: {config.parent}/cookiecutters\nreplay_dir: {config.parent}/replay\n"
    )
    monkeypatch.setenv("PYTHON", sys.executable)
