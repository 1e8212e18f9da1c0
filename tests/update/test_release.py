"""`make release`, in a repository that holds this template: what it makes, and what it refuses."""

import datetime
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run
from tests.helpers.repository import commit, edit
from tests.update.projects import new_repository, state_of

STANDINS = ROOT / "tests/ci/standins"  # a `make` that only writes down what it is called for
UNRELEASED = "## Unreleased\n"


@pytest.fixture
def repository(template: Path) -> Path:
    """The template's repository on main, with version 0.9.0 released and a line for the next one."""
    new_repository(template)
    run("git", "branch", "--move", "--force", "main", cwd=template)
    pyproject = template / "pyproject.toml"
    pyproject.write_text(re.sub(r'(?m)^version = ".*"$', 'version = "0.9.0"', pyproject.read_text()))
    commit(template, "Release 0.9.0")
    run("git", "tag", "v0.9.0", cwd=template)
    edit(template / "CHANGELOG.md", UNRELEASED, f"{UNRELEASED}\n- Something new.\n")
    commit(template, "something new")
    return template


def release(repository: Path, *arguments: str, **env: str) -> Run:
    env = {"PATH": f"{STANDINS}:{os.environ['PATH']}", "PIPELINE_CALLS": str(repository.parent / "calls"), **env}
    return run(sys.executable, "scripts/release.py", *arguments, cwd=repository, env=env, check=False)


def declare(repository: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change cookiecutter.json and commit it."""
    path = repository / "cookiecutter.json"
    declared = json.loads(path.read_text())
    change(declared)
    path.write_text(json.dumps(declared, indent=2))
    commit(repository, "other answers")


def note(repository: Path, text: str) -> None:
    edit(repository / "CHANGELOG.md", UNRELEASED, f"{UNRELEASED}\n- {text}\n")
    commit(repository, "a note")


def without_gitlab(declared: dict[str, object]) -> None:
    declared["ci"] = ["github", "none"]


def renamed(declared: dict[str, object]) -> None:
    declared["licence"] = declared.pop("license")


def test_a_release(repository: Path, tmp_path: Path) -> None:
    before = run("git", "rev-parse", "HEAD", cwd=repository).stdout
    done = release(repository, "1.0.0")
    assert done.returncode == 0, done
    assert (repository.parent / "calls").read_text().split() == ["lint"]  # `make lint test`
    day = datetime.datetime.now(datetime.UTC).date()
    changelog = (repository / "CHANGELOG.md").read_text()
    assert f"\n{UNRELEASED}\n## 1.0.0 ({day})\n\n- Something new.\n" in changelog
    assert tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"] == "1.0.0"
    assert run("git", "status", "--porcelain", cwd=repository).stdout == ""
    assert run("git", "rev-parse", "HEAD^", cwd=repository).stdout == before
    assert run("git", "show", "--name-only", "--format=%s", cwd=repository).stdout.split("\n")[:4] == [
        "Release 1.0.0",
        "",
        "CHANGELOG.md",
        "pyproject.toml",
    ]

    # The command that it prints makes a tag that cookiecutter and cruft take.
    tag = next(line.strip() for line in done.stdout.splitlines() if "git tag" in line)
    run("sh", "-c", tag, cwd=repository)
    edit(repository / "{{cookiecutter.project_slug}}/README.md", "## Start", "## Begin")
    commit(repository, "after the release")
    address = f"git+file://{repository}"
    run("cookiecutter", address, "--checkout", "v1.0.0", "--no-input", "--output-dir", tmp_path / "cookiecutter")
    run("cruft", "create", str(repository), "--checkout", "v1.0.0", "--no-input", "--output-dir", tmp_path / "cruft")
    for name in ("cookiecutter", "cruft"):
        assert "## Start" in (tmp_path / name / "example-service/README.md").read_text()
    state = json.loads((tmp_path / "cruft/example-service/.cruft.json").read_text())
    assert state["checkout"] == "v1.0.0"
    assert state["commit"] == run("git", "rev-parse", "v1.0.0^{commit}", cwd=repository).stdout.strip()


def test_what_goes_in_a_major_version(repository: Path) -> None:
    """A choice has a successor and a note; a variable that was renamed, a note."""

    def change(declared: dict[str, object]) -> None:
        without_gitlab(declared)
        renamed(declared)
        declared["_retired"] = {"ci": {"gitlab": "none"}}

    declare(repository, change)
    note(repository, "No `ci` of `gitlab` any more, and `license` is `licence` now.")
    done = release(repository, "1.0.0")
    assert done.returncode == 0, done


def unclean(repository: Path) -> None:
    (repository / "README.md").write_text("Somebody is working on this.\n")


def on_a_branch(repository: Path) -> None:
    run("git", "switch", "--quiet", "--create", "topic", cwd=repository)


def nothing_to_tell(repository: Path) -> None:
    edit(repository / "CHANGELOG.md", UNRELEASED, f"{UNRELEASED}\n## 0.9.1\n")
    commit(repository, "nothing")


def bad_successor(declared: dict[str, object]) -> None:
    declared["_retired"] = {"ci": {"gitlab": "none", "jenkins": "gone"}}


REFUSALS: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("1.0.0", unclean, ["the work tree is not clean:\nM README.md"]),
    ("1.0.0", on_a_branch, ["a release is made on main, and this is topic"]),
    ("1.0.0", nothing_to_tell, ["CHANGELOG.md has nothing under Unreleased"]),
    ("0.9.0", lambda _: None, ["0.9.0 is not newer than 0.9.0"]),
    (
        "0.10.0",
        lambda repository: declare(repository, without_gitlab),
        [
            "the choice 'gitlab' of ci is gone since 0.9.0: that takes a major version",
            "the choice 'gitlab' of ci is gone, and CHANGELOG.md has no word on it: name `ci` and `gitlab` there",
            "the choice 'gitlab' of ci has no successor under _retired in cookiecutter.json",
        ],
    ),
    (
        "0.10.0",
        lambda repository: declare(repository, renamed),
        [
            "the variable license is gone since 0.9.0: that takes a major version",
            "the variable license is gone, and CHANGELOG.md has no word on it: name `license` there",
        ],
    ),
    (
        "1.0.0",
        lambda repository: declare(repository, bad_successor),
        [
            "_retired names 'gitlab' of ci, which is still on offer",
            "_retired leads from 'jenkins' of ci to 'gone', which is not on offer",
        ],
    ),
]


@pytest.mark.parametrize(("version", "prepare", "lines"), REFUSALS)
def test_a_refusal_says_all_and_touches_nothing(
    repository: Path, version: str, prepare: Callable[[Path], object], lines: list[str]
) -> None:
    prepare(repository)
    before = state_of(repository)
    done = release(repository, version)
    assert done.returncode == 1
    assert done.stderr == "\n".join([f"release: {version} was not made:", *lines, ""])
    assert state_of(repository) == before
    assert not (repository.parent / "calls").exists()


def test_red_tests_and_a_commit_that_was_tested(repository: Path) -> None:
    before = state_of(repository)
    red = release(repository, "1.0.0", PIPELINE_RED="lint")
    assert red.returncode == 1
    assert "`make lint test` is red" in red.stderr
    other = release(repository, "1.0.0", "--tested", "HEAD^")
    assert "HEAD^ was tested, and is not the last commit" in other.stderr
    assert state_of(repository) == before
    head = run("git", "rev-parse", "HEAD", cwd=repository).stdout.strip()
    assert release(repository, "1.0.0", "--tested", head, PIPELINE_RED="lint").returncode == 0


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "01.0.0", ""])
def test_no_version(repository: Path, version: str) -> None:
    done = release(repository, version)
    assert done.returncode == 2
    assert "is no version such as 1.2.0" in done.stderr
