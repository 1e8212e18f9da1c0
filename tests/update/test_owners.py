"""The template's folders, which an update overwrites: the small template has src/runtime."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.project import run
from tests.helpers.repository import commit, edit
from tests.update.conftest import Update
from tests.update.projects import copy, files, state_of
from tests.update.small import SmallTemplate

INIT = "src/runtime/init.py"


@pytest.fixture
def project(born: Callable[..., Path], tmp_path: Path) -> Path:
    """A project of version 2."""
    return copy(born("v2"), tmp_path / "project")


def runtime(project: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the files in the template's folder."""
    return {name: content for name, content in files(project).items() if name.startswith("src/runtime/")}


def head(project: Path) -> str:
    """Return the last commit: short id and subject."""
    return run("git", "log", "-1", "--format=%h %s", cwd=project).stdout.strip()


def edited(project: Path) -> str:
    edit(project / INIT, "return 4", "return 5")
    return f"overwritten     {INIT}: its folder is the template's. Yours is in "


def edited_where_the_template_changes(project: Path) -> str:
    edit(project / INIT, "return 2", "return 200")
    return f"overwritten     {INIT}: its folder is the template's. Yours is in "


def deleted(project: Path) -> str:
    (project / INIT).unlink()
    return f"restored        {INIT}: it is the template's, and you deleted it in "


def added(project: Path) -> str:
    (project / "src/runtime/own.py").write_text("OURS = 1\n")
    return "deleted         src/runtime/own.py: its folder is the template's. Yours is in "


def added_where_the_template_adds(project: Path) -> str:
    (project / "src/runtime/stop.py").write_text("OURS = 1\n")
    return "overwritten     src/runtime/stop.py: its folder is the template's. Yours is in "


def executable(project: Path) -> str:
    (project / INIT).chmod(0o755)
    return f"overwritten     {INIT}: its folder is the template's. Yours is in "


EDITS = (edited, edited_where_the_template_changes, deleted, added, added_where_the_template_adds, executable)


@pytest.mark.parametrize("change", EDITS)
def test_they_equal_the_new_render_and_what_was_there_is_named(
    project: Path, small: SmallTemplate, update: Update, change: Callable[[Path], str]
) -> None:
    words = change(project)
    commit(project, "Ours, for a day")
    where = head(project)
    (project / "other.txt").write_text("another commit\n")
    commit(project, "later")
    check = update(project, "--to", "v3", "--check")
    done = update(project, "--to", "v3")
    assert (check.returncode, done.returncode) == (0, 0), done
    assert runtime(project) == runtime(small.render("v3"))
    for output in (check.stdout, done.stdout):
        assert f"\n{words}{where}\n" in output


def test_they_are_put_right_without_a_new_version_as_well(project: Path, small: SmallTemplate, update: Update) -> None:
    words = edited(project)
    commit(project, "ours")
    state = (project / ".cruft.json").read_bytes()
    done = update(project, "--to", "v2")
    assert done.returncode == 0, done
    assert words + head(project) in done.stdout
    assert runtime(project) == runtime(small.render("v2"))
    assert (project / ".cruft.json").read_bytes() == state
    commit(project, "update")
    assert "nothing new" in update(project, "--to", "v2").stdout


def test_an_edit_that_the_template_has_made_as_well_is_not_lost(project: Path, update: Update) -> None:
    edit(project / INIT, "return 2", "return 20")
    commit(project, "ours")
    done = update(project, "--to", "v3")
    assert f"edited          {INIT}: it is the template's, and now the template has the same" in done.stdout
    assert "overwritten" not in done.stdout


def test_a_folder_that_the_team_has_taken_over_is_the_teams(project: Path, update: Update) -> None:
    """[tool.cruft] skip decides: a service from elsewhere may have a folder of that name."""
    edit(project / "pyproject.toml", '"poetry.lock"]', '"poetry.lock", "src/runtime"]')
    shutil.rmtree(project / "src/runtime")
    (project / "src/runtime").mkdir()
    (project / "src/runtime/own.py").write_text("OURS = 1\n")
    commit(project, "ours")
    before = runtime(project)
    done = update(project, "--to", "v3")
    assert done.returncode == 0, done
    assert runtime(project) == before


def test_an_ignored_file_there_is_not_overwritten(project: Path, update: Update) -> None:
    """Git could not bring it back."""
    with (project / ".gitignore").open("a") as file:
        file.write("stop.py\n")
    commit(project, "ignored")
    (project / "src/runtime/stop.py").write_text("ours\n")
    before = state_of(project)
    done = update(project, "--to", "v3")
    assert done.returncode == 2
    assert "src/runtime/stop.py" in done.stderr
    assert state_of(project) == before
