"""Fixtures for updates: the small template, and this template, as git repositories."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run
from tests.helpers.repository import commit
from tests.update.projects import new_repository
from tests.update.small import SmallTemplate

UPDATE = ROOT / "{{cookiecutter.project_slug}}/tools/update.py"
Update = Callable[..., Run]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallTemplate:
    """The small template."""
    return SmallTemplate(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def born(small: SmallTemplate, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that makes a project of the small template with cruft, and commits it."""
    made = {}

    def born(version: str, **answers: str) -> Path:
        key = (version, *answers.items())
        if key not in made:
            folder = tmp_path_factory.mktemp("born")
            extra = ("--extra-context", json.dumps(answers), "--output-dir", folder, "--checkout", version)
            run("cruft", "create", str(small.folder), "--no-input", *extra)
            made[key] = next(folder.iterdir())
            new_repository(made[key])
            commit(made[key], "from the template")
        return made[key]

    return born


@pytest.fixture
def update() -> Update:
    """Return a function that runs update.py in a project and returns what came out."""

    def update(project: Path, *options: str, python: str = sys.executable, env: dict[str, str] | None = None) -> Run:
        done = run(python, UPDATE, *options, cwd=project, env=env, check=False)
        said, silent = (done.stderr, done.stdout) if done.returncode == 2 else (done.stdout, done.stderr)
        assert f"\nupdate: exit status {done.returncode}: " in f"\n{said}", done
        assert not silent, done
        return done

    return update
