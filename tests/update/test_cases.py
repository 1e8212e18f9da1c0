"""Every line of the tables in cases.py, by update.py and by plain cruft."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import run
from tests.update.cases import CLEAN, CONFLICTS, Case
from tests.update.conftest import Update
from tests.update.projects import Files, commit, copy, files, unmerged
from tests.update.small import SmallTemplate


def expected(small: SmallTemplate, case: Case, folder: Path) -> Files:
    """Return a fresh render of the version in question, with what is the team's and what the team has done."""
    fresh = copy(small.render(case.to, **{**case.answers, **case.changes}), folder)
    first = small.render("v1", **case.answers)
    for name in case.team:
        for path in [first / name, *(first / name).rglob("*")]:
            if path.is_file():
                (fresh / path.relative_to(first)).write_bytes(path.read_bytes())
    case.edit(fresh)
    return files(fresh)


def start(born: Callable[..., Path], case: Case, folder: Path) -> Path:
    """Return a project of version 1 on which the team of `case` has worked."""
    project = copy(born("v1", **case.answers), folder / "project")
    case.edit(project)
    if run("git", "status", "--porcelain", cwd=project).stdout:
        commit(project, "our work")
    return project


@pytest.mark.parametrize("case", CLEAN, ids=str)
def test_two_updates_give_a_fresh_render_and_the_teams_edits(
    small: SmallTemplate,
    born: Callable[..., Path],
    update: Update,
    tmp_path: Path,
    case: Case,
) -> None:
    project = start(born, case, tmp_path)
    first = update(project, "--to", "v2")
    assert first.returncode == 0, first
    commit(project, "update 1")
    case.history(project)
    second = update(project, "--to", case.to, "--vars", json.dumps(dict(case.changes)))
    assert second.returncode == 0, second
    assert unmerged(project) == set()
    assert files(project) == expected(small, case, tmp_path / "fresh")
    # Nothing is left in the work tree that the index does not hold, and cruft sees what there is to see.
    assert run("git", "diff", "--name-only", cwd=project).stdout == ""
    assert run("git", "ls-files", "--others", "--exclude-standard", cwd=project).stdout == ""
    commit(project, "update 2")
    run("cruft", "check", "--checkout", case.to, cwd=project)


@pytest.mark.parametrize("case", CONFLICTS, ids=str)
def test_a_disagreement_is_one_conflict_in_its_file(
    small: SmallTemplate,
    born: Callable[..., Path],
    update: Update,
    tmp_path: Path,
    case: Case,
) -> None:
    project = start(born, case, tmp_path)
    done = update(project, "--to", case.to)
    assert done.returncode == 1, done
    assert unmerged(project) == case.conflicts.keys()
    wanted, found = expected(small, case, tmp_path / "fresh"), files(project)
    for name, (yours, template) in case.conflicts.items():
        assert f"CONFLICT        {name}: " in done.stdout
        both = found[name][0].decode(errors="replace")
        assert yours in both
        assert template in both
        # Whatever the work tree holds, git still has the team's version.
        assert run("git", "cat-file", "-e", f":2:{name}", cwd=project).returncode == 0
    rest = wanted.keys() - case.conflicts.keys()
    assert {name: found[name] for name in rest} == {name: wanted[name] for name in rest}
    assert found.keys() - rest == case.conflicts.keys()
    marked = run("git", "grep", "--name-only", "-e", "^<<<<<<< yours", cwd=project, check=False).stdout.split()
    assert set(marked) <= case.conflicts.keys()


def cruft_gets_right(project: Path, case: Case, wanted: Files) -> bool:
    """Tell whether plain cruft, told to update twice, does what is wanted, or `git status` shows what it can't do."""
    if not case.conflicts:
        run("cruft", "update", "--skip-apply-ask", "--checkout", "v2", cwd=project, check=False)
        commit(project, "update 1")
        case.history(project)
    options = ("--checkout", case.to, "--variables-to-update", json.dumps(dict(case.changes)))
    done = run("cruft", "update", "--skip-apply-ask", *options, cwd=project, check=False)
    found = {name: content for name, content in files(project).items() if name not in case.conflicts}
    rest = {name: content for name, content in wanted.items() if name not in case.conflicts}
    return done.returncode == 0 and unmerged(project) == case.conflicts.keys() and found == rest


@pytest.mark.parametrize("case", CLEAN + CONFLICTS, ids=str)
def test_what_plain_cruft_gets_right(
    small: SmallTemplate,
    born: Callable[..., Path],
    tmp_path: Path,
    case: Case,
) -> None:
    project = start(born, case, tmp_path)
    assert cruft_gets_right(project, case, expected(small, case, tmp_path / "fresh")) == case.cruft
