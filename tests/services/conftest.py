"""Fixtures for services as teams write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import services
from tests.helpers.engine import Engine
from tests.helpers.machine import interpreters, unavailable
from tests.helpers.project import Project, baked, share_tools

Scaffold = Callable[..., Project]
Debian = Callable[..., str]

# The files of the teams: their projects run them.
collect_ignore = [path.name for path in services.SERVICES.iterdir() if path.is_dir()]


@pytest.fixture(scope="session")
def python_version(engine: Engine) -> str:
    """The Python of the services: one that both this machine and the engine have, for `make check` and the image."""
    both = [version for version in interpreters() if version in engine.suites]
    if not both:
        unavailable("no Python on offer is on this machine and in a base image of the engine")
    return both[0]


@pytest.fixture(scope="session")
def scaffold(tmp_path_factory: pytest.TempPathFactory, python_version: str) -> Scaffold:
    """Return a function that makes a project: `scaffold("orders", service_type="fastapi")`; `finish` comes after it."""
    template: list[Path] = []
    scaffolded: list[Project] = []

    def scaffold(name: str, **answers: str) -> Project:
        if not template:
            folder = tmp_path_factory.mktemp("template")
            template.append(services.template_with_a_later_version(folder / "template"))
        answers = {"python_version": python_version, **answers}
        project = services.scaffold(template[0], tmp_path_factory.mktemp(name), name, answers)
        scaffolded.append(project)
        share_tools(project, scaffolded[0], ".tools")
        return project

    return scaffold


@pytest.fixture(scope="session")
def debian(cookies_session: Any, engine: Engine, python_version: str) -> Debian:
    """Return a function that makes an image with Debian packages, for the servers that a service needs."""

    def debian(*packages: str) -> str:
        project = baked(cookies_session, {"python_version": python_version})
        project.write("docker/apt-runtime.txt", "\n".join(packages))
        return engine.build(project, "--target", "base")[0]

    return debian
