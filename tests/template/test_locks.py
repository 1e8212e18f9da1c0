"""The locks of this repository's own tools, and the pins of a project's."""

from pathlib import Path

import pytest

from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.machine import index_environment
from tests.helpers.project import run


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
