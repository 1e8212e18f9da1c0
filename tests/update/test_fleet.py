"""Many repositories at once: each in its own state, known beforehand."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run
from tests.helpers.repository import commit, edit
from tests.update.cases import cloned, code, notes, notes_nearby, other_line, shallow, squashed, year
from tests.update.projects import copy, set_state

# How many repositories to try; 200 take a few minutes.
SIZE = int(os.environ.get("FLEET", "10"))
UNKNOWN = "0123456789012345678901234567890123456789"


def current(project: Path) -> None:
    """Nothing new."""


def drifted(project: Path) -> None:
    """The team has edited a file that is the template's."""
    edit(project / "src/runtime/init.py", "return 4", "return 5")


def lost(project: Path) -> None:
    set_state(project, commit=UNKNOWN)


def no_project(project: Path) -> None:
    (project / ".cruft.json").unlink()


# What a team did to a project of which version, with which answers; the state that follows, and what the table says.
TRUTH: list[tuple[Callable[[Path], None], str, dict[str, str], str, str]] = [
    (current, "v4", {}, "current", ""),
    (notes, "v1", {}, "clean", ""),
    (year, "v2", {"flavour": "rich"}, "clean", ""),
    (other_line, "v1", {}, "conflict", "README.md"),
    (drifted, "v3", {}, "clean", "drifted, edited by hand: src/runtime/init.py"),
    (lost, "v1", {}, "blocked", UNKNOWN),
    (no_project, "v2", {}, "blocked", "cruft link"),
    (code, "v3", {"greeting": "hi"}, "clean", ""),
    (code, "v1", {"flavour": "spicy"}, "blocked", "its successor is 'rich'"),
    (notes_nearby, "v2", {}, "clean", ""),
]
HISTORIES = (lambda _: None, squashed, cloned, shallow)


def fleet_program(*arguments: str | Path) -> Run:
    """Run what `make fleet` runs."""
    return run(sys.executable, "-m", "updater.fleet", *arguments, cwd=ROOT, check=False)


class Fleet:
    """Bare repositories, in the states of TRUTH one after the other, and the file that names them."""

    def __init__(self, born: Callable[..., Path], folder: Path, size: int) -> None:
        """Make `size` repositories in `folder`."""
        self.file = folder / "repositories.txt"
        self.wanted: dict[str, tuple[str, str]] = {}
        for number in range(size):
            change, version, answers, state, words = TRUTH[number % len(TRUTH)]
            work = copy(born(version, **answers), folder / f"{number}/work")
            change(work)
            (work / "docker/ours.txt").write_text(f"{number}\n")
            commit(work, "our work")
            HISTORIES[number % len(HISTORIES)](work)
            bare = folder / f"{number}/{change.__name__}.git"
            run("git", "clone", "--quiet", "--bare", f"file://{work}", bare)
            self.wanted[f"file://{bare}"] = (state, words)
        self.file.write_text("".join(f"{address}\n" for address in self.wanted))

    def update(self, *options: str) -> Run:
        """Run fleet.py on all of them."""
        return fleet_program(self.file, *options)

    def branches(self) -> dict[str, str]:
        """Return the commit of the branch that was pushed to each repository."""
        asked = {name: ("git", "ls-remote", name, "refs/heads/template-update") for name in self.wanted}
        return {name: run(*command).stdout.split("\t")[0] for name, command in asked.items()}


@pytest.fixture(scope="module")
def fleet(born: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet of SIZE."""
    return Fleet(born, tmp_path_factory.mktemp("fleet"), SIZE)


def told(output: str) -> dict[str, tuple[str, str]]:
    """Return what a table says of each repository: its state, and the lines below."""
    found: dict[str, tuple[str, str]] = {}
    name = ""
    for line in output.split("\n\n")[0].splitlines():
        if not line.startswith(" "):
            state, name = line.split(maxsplit=1)
            found[name] = (state, "")
        else:
            found[name] = (found[name][0], f"{found[name][1]}{line.strip()}\n")
    return found


def states(done: Run) -> dict[str, str]:
    """Return the state of each repository in the table that was printed."""
    return {name: state for name, (state, _) in told(done.stdout).items()}


def test_every_repository_is_told_apart_and_one_that_fails_stops_none(fleet: Fleet) -> None:
    before = fleet.branches()
    done = fleet.update()
    found = told(done.stdout)
    assert states(done) == {name: state for name, (state, _) in fleet.wanted.items()}
    for name, (_, words) in fleet.wanted.items():
        assert words in found[name][1]
        assert words or not found[name][1]
    assert done.returncode == 1
    assert done.stderr == ""
    assert f"{SIZE} repositories: " in done.stdout
    assert fleet.branches() == before


def test_branches_are_pushed_once_and_hold_the_update(fleet: Fleet) -> None:
    first, branches = fleet.update("--push"), fleet.branches()
    for name, (state, _) in fleet.wanted.items():
        assert bool(branches[name]) == (state in ("clean", "conflict"))
        if branches[name]:
            folder = name.removeprefix("file://")
            message = run("git", "show", "--no-patch", "--format=%B", "template-update", cwd=Path(folder)).stdout
            assert "New in the template's CHANGELOG.md:" in message
            assert ("CONFLICT        README.md" in message) == (state == "conflict")
            parent = run("git", "rev-parse", "template-update^", "HEAD", cwd=Path(folder)).stdout.split()
            assert parent[0] == parent[1]
    again = fleet.update("--push")
    # States, not words: git has two of them for a commit that is gone, depending on who is first to say so.
    assert states(again) == states(first)
    assert fleet.branches() == branches


def test_a_branch_is_renewed_but_never_when_people_have_worked_on_it(born: Callable[..., Path], tmp_path: Path) -> None:
    fleet = Fleet(born, tmp_path / "fleet", 4)
    fleet.update("--push")
    addresses = [name for name, (state, _) in fleet.wanted.items() if state != "current"]
    pushed = fleet.branches()
    # The main branch of one moves on; on the update's branch of another, somebody resolves what is to resolve.
    for address, branch in ((addresses[0], "main"), (addresses[1], "template-update")):
        work = tmp_path / branch
        run("git", "clone", "--quiet", "--branch", branch, address, work)
        (work / "docker/ours.txt").write_text("more\n")
        commit(work, "more work")
        run("git", "push", "--quiet", "origin", branch, cwd=work)
    peoples = fleet.branches()[addresses[1]]
    done = fleet.update("--push")
    now = fleet.branches()
    assert now[addresses[0]] != pushed[addresses[0]]
    assert now[addresses[1]] == peoples
    assert now[addresses[2]] == pushed[addresses[2]]
    found = told(done.stdout)
    assert [found[address][0] for address in addresses] == ["clean", "blocked", "conflict"]
    assert "has commits of people" in found[addresses[1]][1]
    assert done.returncode == 1


def test_a_project_in_a_folder_and_a_repository_that_is_not_there(born: Callable[..., Path], tmp_path: Path) -> None:
    fleet = Fleet(born, tmp_path / "fleet", 2)
    work = tmp_path / "all"
    run("git", "clone", "--quiet", next(iter(fleet.wanted)), work)
    (work / "the services").mkdir()
    for name in run("git", "ls-files", "-z", cwd=work).stdout.split("\0")[:-1]:
        (work / "the services" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).rename(work / "the services" / name)
    commit(work, "all services")
    set_state(work / "the services", checkout="v4")
    fleet.file.write_text(f'# Ours\n"{work}" "the services"  # a folder\n\nfile://{tmp_path}/nowhere\n')
    done = fleet.update()
    found = told(done.stdout)
    assert found[f"{work} the services"] == ("current", "")
    assert found[f"file://{tmp_path}/nowhere"][0] == "blocked"


def test_a_file_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a b c\n")
    for name, word in (("file", "line 1"), ("missing", "missing")):
        done = fleet_program(tmp_path / name)
        assert done.returncode == 2
        assert word in done.stderr
