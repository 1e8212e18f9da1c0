"""A project that is installed, once for all tests that need one."""

import os
from typing import Any

import pytest

from tests.helpers.machine import index_environment, interpreters
from tests.helpers.project import Installed, Project, baked, share_tools


@pytest.fixture(scope="session")
def installed(cookies_session: Any) -> Installed:
    """Return a function that bakes a project and installs it, once for the same answers; with its environment."""
    done: dict[tuple[str, str], Project] = {}

    def installed(version: str, service: str) -> tuple[Project, dict[str, str]]:
        # uv looks for the project's Python on the path.
        python = interpreters()[version]
        env = {**index_environment(), "PYTHON": str(python), "PATH": f"{python.parent}:{os.environ['PATH']}"}
        if (version, service) not in done:
            project = baked(cookies_session, {"python_version": version, "service_type": service})
            share_tools(project, next(iter(done.values()), project), ".tools")
            project.make("install", env=env)
            done[version, service] = project
        return done[version, service], env

    return installed
