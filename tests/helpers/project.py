"""A rendered project, and what a test does to one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES, DECLARED, ROOT, Answers
from tests.helpers.machine import index_environment

Run = subprocess.CompletedProcess[str]
Bake = Callable[..., "Project"]
Installed = Callable[[str, str], "tuple[Project, dict[str, str]]"]


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = True) -> Run:
    """Run `command` with `env` on top of the environment; when it fails, fail with all that it printed."""
    # An active virtual environment or a user's settings for git and cookiecutter are not the project's.
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def known(answers: Answers) -> Answers:
    """Return `answers`, having checked that cookiecutter would not ignore one of them in silence."""
    for name, value in answers.items():
        assert name in DECLARED, f"{name} is not in cookiecutter.json"
        assert value in CHOICES.get(name, [value]), f"{value!r} is not offered for {name}"
    return answers


@dataclass(frozen=True)
class Project:
    """A rendered project."""

    path: Path
    answers: Mapping[str, str]

    @property
    def package(self) -> str:
        """The name of its Python package."""
        return self.answers["package_name"]

    def read(self, name: str) -> str:
        """Return the text of one of its files."""
        return (self.path / name).read_text(encoding="utf-8")

    def files(self) -> list[Path]:
        """Return all its files, relative to it, sorted."""
        return sorted(path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())

    def write(self, name: str, text: str) -> None:
        """Replace the text of one of its files, or add one."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def append(self, name: str, text: str) -> None:
        """Add `text` at the end of one of its files."""
        self.write(name, self.read(name) + text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace `old` in one of its files, which must hold it once."""
        text = self.read(name)
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        self.write(name, text.replace(old, new))

    def make(self, *targets: str, env: Mapping[str, str] | None = None, check: bool = True) -> Run:
        """Run `make` in it."""
        return run("make", "--no-print-directory", *targets, cwd=self.path, env=env, check=check)


def baked(cookies: Any, answers: Answers) -> Project:
    """Return a project baked with `answers`, by the fixture of pytest-cookies; it must succeed."""
    result = cookies.bake(extra_context=known(answers), template=str(ROOT))
    assert result.exit_code == 0, result.exception
    return Project(result.project_path, result.context)


def share_tools(project: Project, first: Project, folder: str) -> None:
    """Give a project the tools in a folder of the first one, if that has made them by now."""
    if first is not project and (first.path / folder / "done").exists():
        shutil.copytree(first.path / folder, project.path / folder, symlinks=True, copy_function=os.link)
        # Newer than the pins of this project, which are the same; a moved folder is made again.
        (project.path / folder / "done").unlink()
        project.write(f"{folder}/done", f"{(project.path / folder).resolve()}\n")


def add_dependency(project: Project, requirement: str) -> None:
    """Add a requirement to the dependencies in pyproject.toml; the lock does not fit any more."""
    project.replace("pyproject.toml", "\ndependencies = [\n", f'\ndependencies = [\n    "{requirement}",\n')


def relock(project: Project) -> None:
    """Bring poetry.lock up to date with pyproject.toml; what fits stays as it is."""
    run(*POETRY, "lock", cwd=project.path, env={"POETRY_PYPI_MIRROR_URL": index_environment()["PYPI_MIRROR"]})


def build_script(project: Project, name: str, *arguments: str | Path, cwd: Path, **env: str) -> Run:
    """Run a script in tools/image as the Dockerfile does, on this machine."""
    env = {"PYTHONPATH": str(project.path / "tools"), **env}
    return run(sys.executable, "-m", f"image.{name}", *arguments, cwd=cwd, env=env, check=False)


def lock_script(project: Project, *options: str) -> Run:
    """Run lock.py in the project's folder, where it leaves lists/."""
    return build_script(project, "lock", "lists", *options, cwd=project.path)
