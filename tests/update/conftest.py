"""Fixtures for updates: the small template, and this template, as git repositories."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import update as updates
from tests.helpers.project import Bake, Run, run
from tests.helpers.repository import commit
from tests.update.projects import new_repository
from tests.update.small import SmallTemplate

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


@pytest.fixture(scope="session")
def makefile(rendered: Bake) -> Path:
    """The Makefile of a project of this template."""
    return rendered().path / "Makefile"


@pytest.fixture
def update(makefile: Path) -> Update:
    """Return a function that updates a project of whichever template, and returns what came out."""

    def update(project: Path, *options: str, env: dict[str, str] | None = None) -> Run:
        done = updates.update(project, *options, makefile=makefile, env=env)
        if "make: ***" not in done.stderr:
            said, silent = (done.stderr, done.stdout) if done.returncode == 2 else (done.stdout, done.stderr)
            assert f"\nupdate: exit status {done.returncode}: " in f"\n{said}", done
            assert not silent, done
        return done

    return update
