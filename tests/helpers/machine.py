"""What this machine has: Pythons, and the lab or not."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from tests.helpers.combinations import CHOICES


@cache
def interpreters() -> dict[str, Path]:
    """Return the Python versions on offer that this machine has, with the interpreter of each."""
    found = {}
    for version in CHOICES["python_version"]:
        candidates = [shutil.which(f"python{version}")]
        candidates += sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")))
        for path in filter(None, candidates):
            if subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
                found[version] = Path(path)
                break
    return found


@cache
def lab() -> Mapping[str, str]:
    """Return the variables of the project's own lab when it is in use, else nothing."""
    if "SERVICE_LAB" not in os.environ:
        return {}
    return {name: value for name, value in os.environ.items() if name.startswith("LAB_")}


def unavailable(message: str) -> NoReturn:
    """Skip the test, for what `message` says; fail where REQUIRE_ENGINE=1 says that engine and lab must be there."""
    if os.environ.get("REQUIRE_ENGINE") == "1":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Let no other test that names the same thing run meanwhile, in whichever process."""
    with (Path(tempfile.gettempdir()) / f"service-template-{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def index_environment() -> dict[str, str]:
    """Return the environment that makes `make install` use the lab's mirror, or upstream without a lab."""
    return {"PYPI_MIRROR": f"http://{lab()['LAB_MIRROR_IP']}/pypi/simple/" if lab() else ""}


def project_environment(version: str) -> dict[str, str]:
    """Return the environment for `make` in a project with that Python, which this machine must have."""
    python = interpreters()[version]
    # uv looks for the project's Python on the path.
    return {**index_environment(), "PYTHON": str(python), "PATH": f"{python.parent}:{os.environ['PATH']}"}
