"""The locks of this repository's own tools, and the pins of a project's."""

import re
import tomllib
from pathlib import Path

import pytest

from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.machine import index_environment
from tests.helpers.project import Bake, lock_script, run


@pytest.mark.quick
def test_locks_of_our_own_tools_are_in_step() -> None:
    run("poetry", "check", "--lock", "--strict", cwd=ROOT)
    for name, options in {"new": ["--only", "main"], "dev": ["--all-groups"]}.items():
        exported = run(*POETRY, "export", *options, cwd=ROOT).stdout
        assert (ROOT / f"requirements/{name}.txt").read_text() == exported, f"requirements/{name}.txt: run `make locks`"


@pytest.mark.parametrize("platform", ["aarch64-apple-darwin", "aarch64-unknown-linux-gnu"])
@pytest.mark.parametrize("python", CHOICES["python_version"][:2])
def test_every_pin_has_a_wheel_elsewhere(python: str, platform: str, tmp_path: Path) -> None:
    """For the default Python and the newest, on machines that this suite does not run on."""
    options = ("--dry-run", "--no-deps", "--no-build", "--require-hashes", "--target", tmp_path)
    machine = ("--python-version", python, "--python-platform", platform)
    index = index_environment()["PYPI_MIRROR"]
    for pins in sorted((ROOT / "{{cookiecutter.project_slug}}/tools/pins").iterdir()):
        run("uv", "pip", "install", *options, *machine, "-r", pins, env={"UV_DEFAULT_INDEX": index} if index else {})


@pytest.mark.parametrize("python", CHOICES["python_version"])
def test_what_the_contract_runs_on_is_complete_for_every_python(bake: Bake, python: str, tmp_path: Path) -> None:
    """Who builds the image need not have the service's Python, for which the lock was made."""
    project = bake()
    assert lock_script(project, "--group=contract").returncode == 0
    locked = project.read("lists/requirements.txt")
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", locked, re.MULTILINE))
    (tmp_path / "pins.txt").write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    group = tomllib.loads(project.read("pyproject.toml"))["dependency-groups"]["contract"]
    (tmp_path / "wanted.txt").write_text("\n".join(group))
    command = (
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--constraints",
        tmp_path / "pins.txt",
    )
    index = index_environment()["PYPI_MIRROR"]
    env = {"UV_DEFAULT_INDEX": index} if index else {}
    needed = run(*command, "--python-version", python, tmp_path / "wanted.txt", env=env).stdout
    assert dict(re.findall(r"^([\w-]+)==(\S+)", needed, re.MULTILINE)).items() <= pins.items()
    assert all("--hash=sha256:" in line for line in locked.splitlines() if not line.startswith("#"))
