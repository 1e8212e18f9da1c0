"""A new project passes its own checks from its first minute, with its own locked dependencies.

So does what the template gives it to run on, service_runtime: tests/runtime is run by the project's own Python, and
reaches every line of what its service type has.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.engine import Engine
from tests.helpers.machine import index_environment, interpreters
from tests.helpers.project import Installed, Run, baked, run

RUNTIME_TESTS = (
    *("-m", "pytest", "-c", "tests/runtime/rendered.ini", "--confcutdir=tests/runtime", "--rootdir=tests/runtime"),
    *("-p", "no:cacheprovider", "tests/runtime"),
    *("--cov=service_runtime", "--cov-config=tests/runtime/coverage.ini", "--cov-fail-under=100"),
    "--cov-report=term-missing",
)
every_service_type = pytest.mark.parametrize("service", CHOICES["service_type"])


def check_both(check: Callable[[], Run], runtime: Callable[[], Run]) -> None:
    """Run the project's checks and the tests of service_runtime, which mostly wait, side by side."""
    with ThreadPoolExecutor() as pool:
        own, of_runtime = [future.result() for future in (pool.submit(check), pool.submit(runtime))]
    assert "Required test coverage of 80.0% reached" in own.stdout
    assert "Required test coverage of 100% reached" in of_runtime.stdout


@every_service_type
@pytest.mark.parametrize("version", interpreters())
def test_project_passes_its_own_checks(installed: Installed, version: str, service: str) -> None:
    project, env = installed(version, service)
    python = project.path / ".venv/bin/python"
    env_of_runtime = {
        # A file of its own: the project's tests write another one at the same time.
        "COVERAGE_FILE": str(project.path / "runtime.coverage"),
        # The services that these tests start by the dozen need not compile every package each time.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(project.path / ".cache/bytecode"),
    }
    check_both(
        lambda: project.make("check", env=env),
        lambda: run(python, *RUNTIME_TESTS, cwd=ROOT, env=env_of_runtime),
    )


@every_service_type
@pytest.mark.parametrize("version", sorted(set(CHOICES["python_version"]) - interpreters().keys()))
def test_project_passes_its_own_checks_in_its_base_image(
    cookies_session: Any, engine: Engine, version: str, service: str
) -> None:
    """With a Python that this machine has not: each command of `make` runs in a container."""
    engine.need(version)
    project = baked(cookies_session, {"python_version": version, "service_type": service})
    base = f"python:{version}-slim-{engine.suites[version]}"
    env = index_environment() | {"CONTAINER": base}
    shell = (f"SHELL={ROOT / 'tests/helpers/container.sh'}", "PYTHON=python3")
    project.make("install", *shell, env=env)
    folders = {project.path: "rw", ROOT: "ro"}
    check_both(
        lambda: project.make("check", *shell, env=env),
        lambda: engine.docker(
            *("run", "--rm", "--network", "host", "--workdir", ROOT, "--env", f"COVERAGE_FILE={project.path}/runtime"),
            *(f"--volume={folder}:{folder}:{mode}" for folder, mode in folders.items()),
            *(base, project.path / ".venv/bin/python"),
            *RUNTIME_TESTS,
        ),
    )


IMPORT = '"""A fault."""\n\nimport {0}\n\nX = {0}\n'
# The check, the file that gets a fault, the fault, and a word of what is said about it.
FAULTS = {
    "style": ("lint", "src/example_service/fault.py", "import os\n", "F401"),
    "package of the group dev": ("lint", "src/example_service/fault.py", IMPORT.format("httpx2"), "DEP004"),
    "package that another one brings": ("lint", "src/example_service/fault.py", IMPORT.format("pluggy"), "DEP003"),
    "package that nobody has": ("lint", "src/example_service/fault.py", IMPORT.format("nowhere"), "DEP001"),
    "Dockerfile": ("lint", "Dockerfile", "FROM scratch\nRUN cd /tmp\n", "DL3003"),
    "type": ("types", "src/example_service/fault.py", "X: int = ''\n", "Incompatible types"),
    "failing test": ("test", "tests/test_fault.py", "def test_it() -> None:\n    assert not 1\n", "1 failed"),
    "untested lines": ("test", "src/example_service/fault.py", "X = 1\n" * 20, "coverage of 80.0% not reached"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_turns_the_checks_red(installed: Installed, fault: str) -> None:
    """The checks above can fail."""
    project, env = installed(next(iter(interpreters())), CHOICES["service_type"][0])
    target, name, text, word = FAULTS[fault]
    path = project.path / name
    before = path.read_text() if path.exists() else None
    path.write_text(text)
    try:
        done = project.make(target, env=env, check=False)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
    assert done.returncode != 0
    assert word in done.stdout + done.stderr
