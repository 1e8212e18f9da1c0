"""Which version `make update` goes to, whose updater it runs, and what it says when there is none that works."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers.machine import index_environment
from tests.helpers.mirror import HOST
from tests.helpers.project import Run, run
from tests.helpers.repository import append, commit, create, edit
from tests.helpers.update import provide_environment
from tests.lab.unruly import refusing
from tests.update.conftest import Update
from tests.update.projects import copy, set_state, state_of
from tests.update.small import FOLDER, SmallTemplate


@pytest.fixture
def own(small: SmallTemplate, tmp_path: Path) -> Path:
    """A copy of the small template."""
    return copy(small.folder, tmp_path / "own-template")


@pytest.fixture
def project(born: Callable[..., Path], own: Path, tmp_path: Path) -> Path:
    """A project of version 1 of that copy."""
    project = copy(born("v1"), tmp_path / "project")
    set_state(project, template=str(own))
    return project


def tag(template: Path, name: str, commit_: str = "HEAD") -> None:
    run("git", "tag", name, commit_, cwd=template)


def without_tags(template: Path) -> None:
    run("git", "tag", "--delete", *run("git", "tag", cwd=template).stdout.split(), cwd=template)


def version_of(project: Path) -> str:
    """Return the commit that a project records."""
    return str(json.loads((project / ".cruft.json").read_text())["commit"])


def next_version(template: Path, name: str = "Ask again.") -> str:
    """Commit another version of the template, and return its id."""
    append(template / FOLDER / "README.md", f"\n{name}\n")
    commit(template, name)
    return run("git", "rev-parse", "HEAD", cwd=template).stdout.strip()


def test_the_newest_release_unless_another_version_is_named(project: Path, own: Path, update: Update) -> None:
    release = run("git", "rev-parse", "v4^{commit}", cwd=own).stdout.strip()
    newest = next_version(own)
    tag(own, "v5-rc1")
    tag(own, "nightly")
    assert update(project).returncode == 0
    assert version_of(project) == release
    commit(project, "update")
    assert update(project, "--to", "main").returncode == 0
    assert version_of(project) == newest


def test_a_release_on_another_branch_does_not_count(project: Path, own: Path, update: Update) -> None:
    run("git", "switch", "--quiet", "--create", "old-line", "v2", cwd=own)
    next_version(own)
    tag(own, "v9")
    run("git", "switch", "--quiet", "main", cwd=own)
    assert update(project).returncode == 0
    assert version_of(project) == run("git", "rev-parse", "v4^{commit}", cwd=own).stdout.strip()


def test_the_newest_commit_of_a_template_without_releases(project: Path, own: Path, update: Update) -> None:
    without_tags(own)
    newest = next_version(own)
    assert update(project).returncode == 0
    assert version_of(project) == newest


def test_a_project_that_is_ahead_of_the_newest_release_stays_there(project: Path, own: Path, update: Update) -> None:
    """It was made from the default branch. Going back takes TO=."""
    newest = next_version(own)
    assert update(project, "--to", "main").returncode == 0
    commit(project, "update")
    assert "nothing new" in update(project).stdout
    assert update(project, "--vars", '{"greeting": "good day"}').returncode == 0
    assert version_of(project) == newest
    commit(project, "another answer")
    assert update(project, "--to", "v4").returncode == 0
    assert version_of(project) != newest


def test_a_commit_by_its_id(project: Path, update: Update, small: SmallTemplate) -> None:
    assert update(project, "--to", small.commit_of("v2")).returncode == 0
    assert version_of(project) == small.commit_of("v2")


@pytest.mark.parametrize("broken", ["__main__.py", "update.py", "merge.py", "render.py"])
def test_a_project_of_a_version_with_a_broken_updater_gets_a_working_one(
    project: Path, own: Path, update: Update, broken: str
) -> None:
    assert update(project).returncode == 0
    working = (own / "updater" / broken).read_text()
    (own / "updater" / broken).write_text("def broken(:\n")
    commit(own, "broken")
    set_state(project, commit=run("git", "rev-parse", "HEAD", cwd=own).stdout.strip())
    (own / "updater" / broken).write_text(working)
    newest = next_version(own, "repaired")
    tag(own, "v5")
    done = update(project)
    assert done.returncode == 0, done
    assert version_of(project) == newest


@pytest.mark.parametrize(
    ("broken", "text", "words"),
    [
        ("update.py", "def broken(:\n", "this version's updater is broken (SyntaxError"),
        ("merge.py", "raise RuntimeError('no good')\n", "this version's updater is broken (RuntimeError: no good)"),
        ("render.py", "raise RuntimeError('no good')\n", "can't be rendered"),
        ("__main__.py", "def broken(:\n", "SyntaxError"),
    ],
)
def test_a_broken_updater_in_the_new_version_touches_nothing(
    project: Path, own: Path, makefile: Path, broken: str, text: str, words: str
) -> None:
    (own / "updater" / broken).write_text(text)
    next_version(own)
    tag(own, "v5")
    before = state_of(project)
    done = make(project, makefile, "update")
    assert done.returncode == 2
    assert words in done.stderr
    assert "exit status 1" not in done.stderr
    assert state_of(project) == before
    # Nor does CI take it for conflicts.
    assert make(project, makefile, "update-branch").returncode == 2


def make(project: Path, makefile: Path, target: str, **variables: str) -> Run:
    """Run a target of another project's Makefile in a project."""
    provide_environment(project)
    words = [f"{name}={value}" for name, value in variables.items()]
    return run("make", f"--file={makefile}", target, *words, cwd=project, check=False)


def test_a_version_from_before_the_updater(project: Path, own: Path, makefile: Path) -> None:
    run("git", "rm", "-r", "--quiet", "updater", cwd=own)
    next_version(own)
    tag(own, "v5")
    before = state_of(project)
    done = make(project, makefile, "update")
    assert done.returncode == 2
    assert "this version of the template has no updater" in done.stderr
    assert state_of(project) == before


@pytest.fixture
def real(template: Path, tmp_path: Path) -> Path:
    """A project of this template, which has a new version since."""
    project = create(template, tmp_path / "made", {"mirror": "none"})
    edit(template / FOLDER.replace("slug", "project_slug") / "README.md", "## Start", "## Begin")
    commit(template, "another word")
    return project


def check(project: Path, env: Mapping[str, str]) -> Run:
    return run("make", "--no-print-directory", "update-check", cwd=project, env=env, check=False)


def test_the_updater_comes_with_its_own_pins_and_is_kept(real: Path) -> None:
    """From the package index of the project's, and from none at all as long as the pins are the same."""
    before = state_of(real)
    done = check(real, index_environment())
    assert done.returncode == 0, done
    assert "changed         README.md" in done.stdout
    pins = (real / ".tools/template/requirements/new.txt").read_bytes()
    assert (real / ".tools/updater/requirements.txt").read_bytes() == pins
    assert not (real / ".tools/bin").exists()
    dead = {"PYPI_MIRROR": refusing(HOST), "MIRROR_FALLBACK": "0"}
    again = check(real, dead)
    assert again.stdout == done.stdout
    run("rm", "-r", real / ".tools/updater")
    failed = check(real, dead)
    assert failed.returncode == 2
    assert "update: exit status 2: nothing was touched: the updater can't be installed" in failed.stderr
    assert state_of(real) == before
