"""A new project passes its own lint, types and tests from its first minute, with its own locked dependencies."""

import os

import pytest

from tests.helpers.combinations import CHOICES
from tests.helpers.engine import Engine
from tests.helpers.machine import index_environment, interpreters
from tests.helpers.project import Bake, run

every_service_type = pytest.mark.parametrize("service", CHOICES["service_type"])


@every_service_type
@pytest.mark.parametrize("version", interpreters())
def test_project_passes_its_own_checks(bake: Bake, version: str, service: str) -> None:
    project = bake(python_version=version, service_type=service)
    # Poetry looks for the project's Python on the path.
    python = interpreters()[version]
    done = run(
        *("sh", "-c", f'PATH="{python.parent}:$PATH" exec make --no-print-directory check PYTHON={python}'),
        cwd=project.path,
        env=index_environment(),
    )
    assert "Required test coverage of 100% reached" in done.stdout


@every_service_type
@pytest.mark.parametrize("version", sorted(set(CHOICES["python_version"]) - interpreters().keys()))
def test_project_passes_its_own_checks_in_its_base_image(
    bake: Bake, engine: Engine, version: str, service: str
) -> None:
    """For a Python that only a base image has: what `make check` would run, in that image, which has no make."""
    engine.need(version)
    project = bake(python_version=version, service_type=service)
    commands = project.make("--dry-run", "check", "PYTHON=python3").stdout
    done = engine.docker(
        *(
            "run",
            "--rm",
            "--network",
            "host",
            "--volume",
            f"{project.path}:{project.path}",
            "--workdir",
            project.path,
        ),
        *(f"--env={name}={value}" for name, value in index_environment().items()),
        *("--env=POETRY_VIRTUALENVS_IN_PROJECT=true", "--env=PIP_DISABLE_PIP_VERSION_CHECK=1"),
        *(f"python:{version}-slim-{engine.suites[version]}", "sh", "-c", f"set -e; {commands}"),
    )
    assert "Required test coverage of 100% reached" in done.stdout


def test_lint_goes_red(bake: Bake) -> None:
    """The checks above can fail: a project with a fault of each kind is told so."""
    version = next(iter(interpreters()))
    project = bake(python_version=version)
    env = {**index_environment(), "PATH": f"{interpreters()[version].parent}:{os.environ['PATH']}"}
    project.make("install", env=env)
    module = f"src/{project.package}/__init__.py"
    good = project.read(module)
    for target, fault in {
        "lint": "import os\n",
        "types": "X: int = ''\n",
        "test": "if len(__name__) == 0:\n    X = 1\n",
    }.items():
        project.write(module, good + fault)
        assert project.make(target, env=env, check=False).returncode != 0, target
    project.write(module, good)
    project.write("Dockerfile", project.read("Dockerfile") + "RUN cd /tmp\n")
    assert "DL3003" in project.make("lint", env=env, check=False).stdout
