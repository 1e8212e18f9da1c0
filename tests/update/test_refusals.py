"""What makes an update impossible: exit status 2, one message that names the thing, and nothing is touched."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.helpers.project import run
from tests.helpers.repository import commit
from tests.update.conftest import Update
from tests.update.projects import copy, new_repository, set_state, state_of

Prepare = Callable[[Path], object]


def change(project: Path, name: str, text: str) -> None:
    """Write a file and commit it."""
    (project / name).write_text(text)
    commit(project, f"another {name}")


def remove_and_commit(project: Path, name: str) -> None:
    (project / name).unlink()
    commit(project, f"no {name}")


def remove_commit(project: Path) -> None:
    state = json.loads((project / ".cruft.json").read_text())
    del state["commit"]
    change(project, ".cruft.json", json.dumps(state))


def ignore_state(project: Path) -> None:
    run("git", "rm", "--quiet", "--cached", ".cruft.json", cwd=project)
    change(project, ".gitignore", ".cruft.json\n")


def ignored_file_in_the_way(project: Path) -> None:
    change(project, ".gitignore", "docker/new.conf\n")
    (project / "docker/new.conf").write_text("ours, and git does not know it\n")


def without_history(project: Path) -> None:
    shutil.rmtree(project / ".git")
    new_repository(project)


GONE = "https://127.0.0.1:9/team/template.git"
UNKNOWN = "0123456789012345678901234567890123456789"


@dataclass(frozen=True)
class Refusal:
    """One line of the table: what is done to a project of version 1, how it is updated, what the message must hold."""

    name: str
    words: tuple[str, ...]
    prepare: Prepare = lambda _: None
    options: tuple[str, ...] = ("--to", "v2")
    answers: dict[str, str] = field(default_factory=dict)


REFUSALS = [
    Refusal("changed", ("not clean", "M README.md"), lambda p: (p / "README.md").write_text("new")),
    Refusal("untracked", ("not clean", "?? own.txt"), lambda p: (p / "own.txt").write_text("new")),
    Refusal("only a check", ("not clean", "D README.md"), lambda p: (p / "README.md").unlink(), ("--check",)),
    Refusal("removed", ("not clean", "D README.md"), lambda p: (p / "README.md").unlink()),
    Refusal("no state", (".cruft.json", "cruft link"), lambda p: remove_and_commit(p, ".cruft.json")),
    Refusal("state is no JSON", (".cruft.json,", "damaged"), lambda p: change(p, ".cruft.json", "<<<<<<< ours\n")),
    Refusal("state is a list", (".cruft.json,", "damaged"), lambda p: change(p, ".cruft.json", "[]")),
    Refusal("state without template", (".cruft.json,", "damaged"), lambda p: change(p, ".cruft.json", "{}")),
    Refusal("state without commit", (".cruft.json is not", "KeyError: 'commit'"), remove_commit),
    Refusal("state ignored", (".cruft.json", "last commit"), ignore_state),
    Refusal("no repository", ("not in a git repository",), lambda p: shutil.rmtree(p / ".git")),
    Refusal("no commit", ("no commit yet",), without_history),
    Refusal("no network", (GONE, "unable to access"), lambda p: set_state(p, template=GONE)),
    Refusal("no folder", ("/no/template",), lambda p: set_state(p, template="/no/template")),
    Refusal("no such host", ("nowhere.invalid",), lambda p: set_state(p, template="git@nowhere.invalid:a/b.git")),
    Refusal("no template there", ("has no updater",), lambda p: set_state(p, directory="deep")),
    Refusal("commit gone", (UNKNOWN, "not our ref"), lambda p: set_state(p, commit=UNKNOWN)),
    Refusal("no such version", ("invalid reference: v9",), options=("--to", "v9")),
    Refusal("a file as version", ("invalid reference: README.md",), options=("--to", "README.md")),
    Refusal("an option as version", ("unknown option `all'",), options=("--to=--all",)),
    Refusal("misspelt variable", ("no variable flavor", "flavour?"), options=("--vars", '{"flavor": "rich"}')),
    Refusal("unknown variable", ("no variable x", "greeting, flavour"), options=("--vars", '{"x": "y"}')),
    Refusal("private variable", ("no variable _retired",), options=("--vars", '{"_retired": {}}')),
    Refusal("wrong choice", ("'sour'", "plain, rich, spicy"), options=("--to=v2", "--vars", '{"flavour": "sour"}')),
    Refusal("two errors", ("flavour is 1", "no variable x"), options=("--to=v2", "--vars", '{"x": 1, "flavour": 1}')),
    Refusal("no JSON", ("not JSON",), options=("--vars", "flavour=rich")),
    Refusal("no object", ("not a JSON object",), options=("--vars", '["rich"]')),
    Refusal("retired", ("'spicy'", 'VARS=\'{"flavour": "rich"}\''), options=("--to=v4",), answers={"flavour": "spicy"}),
    Refusal(
        "hook", ("greeting is 'bad'", "can't be rendered"), options=("--to=refusing", "--vars", '{"greeting": "bad"}')
    ),
    Refusal("ignored file in the way", ("docker/new.conf",), ignored_file_in_the_way),
    Refusal("broken pyproject", ("pyproject.toml of this project",), lambda p: change(p, "pyproject.toml", "a = = 1")),
    Refusal("skip is no list", ("skip must be",), lambda p: change(p, "pyproject.toml", "[tool.cruft]\nskip = 'a'\n")),
    Refusal(
        "skip leads out", ("'/etc/*'",), lambda p: change(p, "pyproject.toml", "[tool.cruft]\nskip = ['/etc/*']\n")
    ),
    Refusal("branch there", ("a branch main already",), options=("--to=v2", "--branch", "main")),
    Refusal("no name", ("no name for a branch",), options=("--to=v2", "--branch", "a..b")),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_refusal_names_the_thing_and_touches_nothing(
    born: Callable[..., Path],
    update: Update,
    tmp_path: Path,
    refusal: Refusal,
) -> None:
    project = copy(born("v1", **refusal.answers), tmp_path / "project")
    refusal.prepare(project)
    before = state_of(project)
    done = update(project, *refusal.options)
    assert done.returncode == 2, done
    assert state_of(project) == before
    assert "Traceback" not in done.stderr
    for word in refusal.words:
        assert word in done.stderr


def test_a_commit_that_a_force_push_took_away(born: Callable[..., Path], update: Update, tmp_path: Path) -> None:
    project = copy(born("v1"), tmp_path / "project")
    state = json.loads((project / ".cruft.json").read_text())
    rewritten = copy(Path(state["template"]), tmp_path / "rewritten")
    first = run("git", "commit-tree", "v4^{tree}", "-m", "all anew", cwd=rewritten).stdout.strip()
    run("git", "reset", "--quiet", "--hard", first, cwd=rewritten)
    tags = run("git", "tag", cwd=rewritten).stdout.split()
    run("git", "tag", "--delete", *tags, cwd=rewritten)
    for branch in run("git", "branch", "--format=%(refname:short)", cwd=rewritten).stdout.split():
        if branch != "main":
            run("git", "branch", "--quiet", "-D", branch, cwd=rewritten)
    run("git", "reflog", "expire", "--expire=all", "--all", cwd=rewritten)
    run("git", "gc", "--quiet", "--prune=now", cwd=rewritten)
    set_state(project, template=f"file://{rewritten}")
    before = state_of(project)
    done = update(project)
    assert done.returncode == 2
    assert f"commit {state['commit']}, which .cruft.json records, is in no branch or tag of " in done.stderr
    assert f"not our ref {state['commit']}" in done.stderr
    assert state_of(project) == before


def test_a_commit_that_no_branch_has_is_asked_for(born: Callable[..., Path], update: Update, tmp_path: Path) -> None:
    """After a force-push, most servers still hand out a commit to whoever knows its id."""
    project = copy(born("v1"), tmp_path / "project")
    template = copy(Path(json.loads((project / ".cruft.json").read_text())["template"]), tmp_path / "template")
    run("git", "tag", "--delete", "v1", cwd=template)
    first = run("git", "commit-tree", "v2^{tree}", "-m", "all anew", cwd=template).stdout.strip()
    bare = tmp_path / "bare.git"
    run("git", "clone", "--quiet", "--bare", template, bare)
    for reference in run("git", "for-each-ref", "--format=%(refname)", cwd=bare).stdout.split():
        run("git", "update-ref", "-d", reference, cwd=bare)
    run("git", "fetch", "--quiet", template, first, cwd=bare, check=False)
    run("git", "update-ref", "refs/heads/main", first, cwd=bare)
    run("git", "config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
    set_state(project, template=f"file://{bare}")
    done = update(project)
    assert done.returncode == 0, done


def replace_git(folder: Path, pattern: str, command: str) -> dict[str, str]:
    """Return an environment in which `command` is run instead of a git with arguments like `pattern`."""
    (folder / "bin").mkdir()
    program = folder / "bin/git"
    program.write_text(f'#!/bin/sh\ncase "$*" in {pattern}) {command} ;; esac\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_an_error_of_git_is_told_as_what_it_is(born: Callable[..., Path], update: Update, tmp_path: Path) -> None:
    """A commit that git can't look up is not taken for one that is gone."""
    project = copy(born("v1"), tmp_path / "project")
    words = "fatal: unable to read the disk"
    done = update(project, env=replace_git(tmp_path, "*rev-parse*commit}*", f"echo '{words}' >&2; exit 128"))
    assert done.returncode == 2
    assert done.stderr == f"update: exit status 2: nothing was touched: {words}\n"


def test_git_is_too_old(born: Callable[..., Path], update: Update, tmp_path: Path) -> None:
    project = copy(born("v1"), tmp_path / "project")
    before = state_of(project)
    done = update(project, env=replace_git(tmp_path, "*version", "echo git version 2.37.9; exit"))
    assert done.returncode == 2
    assert "git version 2.37.9 is too old" in done.stderr
    assert state_of(project) == before
