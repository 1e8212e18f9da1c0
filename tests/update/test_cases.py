"""Every line of the tables in cases.py, by update.py and by plain cruft."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run
from tests.helpers.repository import commit
from tests.update.cases import CLEAN, CONFLICTS, Case
from tests.update.conftest import Update
from tests.update.projects import Files, copy, files, unmerged
from tests.update.small import SmallTemplate

Tool = Callable[[Path, str, Mapping[str, str]], Run]  # project, version to update to, answers to change
Start = Callable[[Case], Path]
Updated = Callable[[Case, Tool], Path]


@pytest.fixture
def start(born: Callable[..., Path], tmp_path: Path) -> Start:
    """Return a function that gives a project of version 1 on which the team of a case has worked."""

    def start(case: Case) -> Path:
        project = copy(born("v1", **case.answers), tmp_path / "project")
        case.edit(project)
        if run("git", "status", "--porcelain", cwd=project).stdout:
            commit(project, "our work")
        return project

    return start


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A folder for projects that have had their first update, and the names of those that are there."""
    return tmp_path_factory.mktemp("updated"), set()


@pytest.fixture
def updated(start: Start, kept: tuple[Path, set[str]]) -> Updated:
    """Return a function that gives a case's project after update 1, made once for all cases that start alike."""
    folder, names = kept

    def updated(case: Case, tool: Tool) -> Path:
        project = start(case)
        name = "-".join([tool.__name__, case.edit.__name__, *case.answers.values()])
        if name in names:
            shutil.rmtree(project)
            copy(folder / name, project)
        else:
            done = tool(project, "v2", {})
            assert done.returncode == 0, done
            commit(project, "update 1")
            copy(project, folder / name)
            names.add(name)
        case.history(project)
        return project

    return updated


@pytest.fixture
def ours(update: Update) -> Tool:
    """What this template gives to its projects."""

    def ours(project: Path, version: str, changes: Mapping[str, str]) -> Run:
        return update(project, "--to", version, "--vars", json.dumps(dict(changes)))

    return ours


def cruft(project: Path, version: str, changes: Mapping[str, str]) -> Run:
    """Plain cruft."""
    options = ("--checkout", version, "--variables-to-update", json.dumps(dict(changes)))
    return run("cruft", "update", "--skip-apply-ask", *options, cwd=project, check=False)


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


@pytest.mark.parametrize("case", CLEAN, ids=str)
def test_two_updates_give_a_fresh_render_and_the_teams_edits(
    small: SmallTemplate, updated: Updated, ours: Tool, tmp_path: Path, case: Case
) -> None:
    project = updated(case, ours)
    done = ours(project, case.to, case.changes)
    assert done.returncode == 0, done
    assert unmerged(project) == set()
    assert files(project) == expected(small, case, tmp_path / "fresh")
    # All of it is staged, and cruft finds the version there (test_places.py has it go on from an update).
    assert run("git", "diff", "--name-only", cwd=project).stdout == ""
    assert run("git", "ls-files", "--others", "--exclude-standard", cwd=project).stdout == ""
    assert json.loads((project / ".cruft.json").read_text())["commit"] == small.commit_of(case.to)


@pytest.mark.parametrize("case", CONFLICTS, ids=str)
def test_a_disagreement_is_one_conflict_in_its_file(
    small: SmallTemplate, start: Start, ours: Tool, tmp_path: Path, case: Case
) -> None:
    project = start(case)
    done = ours(project, case.to, case.changes)
    assert done.returncode == 1, done
    assert unmerged(project) == case.conflicts.keys()
    wanted, found = expected(small, case, tmp_path / "fresh"), files(project)
    for name, (yours, template) in case.conflicts.items():
        assert f"CONFLICT        {name}: " in done.stdout
        both = found[name][0].decode(errors="replace")
        assert yours in both
        assert template in both
        # Whatever the work tree holds, git still has the team's version.
        before = run("git", "rev-parse", f":2:{name}", f"HEAD:{name}", cwd=project).stdout.split()
        assert before[0] == before[1]
    rest = wanted.keys() - case.conflicts.keys()
    assert {name: found[name] for name in rest} == {name: wanted[name] for name in rest}
    assert found.keys() - rest == case.conflicts.keys()
    marked = run("git", "grep", "--name-only", "-e", "^<<<<<<< yours", cwd=project, check=False).stdout.split()
    assert set(marked) <= case.conflicts.keys()


@pytest.mark.parametrize("case", CLEAN + CONFLICTS, ids=str)
def test_what_plain_cruft_gets_right(
    small: SmallTemplate, start: Start, updated: Updated, tmp_path: Path, case: Case
) -> None:
    """It is right when it does what is wanted, or when `git status` shows what it could not do."""
    project = start(case) if case.conflicts else updated(case, cruft)
    done = cruft(project, case.to, case.changes)
    found = {name: content for name, content in files(project).items() if name not in case.conflicts}
    wanted = expected(small, case, tmp_path / "fresh")
    rest = {name: content for name, content in wanted.items() if name not in case.conflicts}
    right = done.returncode == 0 and unmerged(project) == case.conflicts.keys() and found == rest
    assert right == case.cruft


@pytest.mark.parametrize("name", ["docs/updates.md", "docs/updates.ko.md"])
def test_the_table_on_the_page_is_that_of_the_cases(name: str) -> None:
    """Cases; merged clean; one conflict where people disagree; wrong. What is wrong, the tests above would tell."""
    cases = CLEAN + CONFLICTS
    right = [sum(case.cruft for case in half) for half in (CLEAN, CONFLICTS)]
    wanted = {
        "make update": [len(cases), len(CLEAN), len(CONFLICTS), 0],
        "cruft update": [len(cases), *right, len(cases) - sum(right)],
    }
    rows = re.findall(r"^\| `((?:make|cruft) update)` \| (.+) \|$", (ROOT / name).read_text(), re.MULTILINE)
    assert {tool: [int(figure) for figure in figures.split(" | ")] for tool, figures in rows} == wanted
