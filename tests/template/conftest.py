"""A project that is installed, once for all tests that need one."""

from typing import Any

import pytest

from tests.helpers.machine import project_environment
from tests.helpers.project import Installed, Project, baked, share_tools


@pytest.fixture(scope="session")
def installed(cookies_session: Any) -> Installed:
    """Return a function that bakes a project and installs it, once for the same answers; with its environment."""
    done: dict[tuple[str, str], Project] = {}

    def installed(version: str, service: str) -> tuple[Project, dict[str, str]]:
        env = project_environment(version)
        if (version, service) not in done:
            project = baked(cookies_session, {"python_version": version, "service_type": service})
            share_tools(project, next(iter(done.values()), project), ".tools")
            project.make("install", env=env)
            done[version, service] = project
        return done[version, service], env

    return installed
