"""Where a project and its template lie, what the options do, and what .cruft.json holds afterwards."""

import functools
import http.server
import json
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.project import run
from tests.helpers.repository import commit, edit
from tests.update.conftest import Update
from tests.update.projects import copy, new_repository, set_state, state_of
from tests.update.small import FOLDER, SmallTemplate


@pytest.fixture
def project(born: Callable[..., Path], tmp_path: Path) -> Path:
    """A project of version 1, whose team has written into the README."""
    project = copy(born("v1"), tmp_path / "project")
    edit(project / "README.md", "## Start", "Our own introduction.\n\n## Start")
    commit(project, "our work")
    return project


@pytest.fixture
def web(small: SmallTemplate, tmp_path: Path) -> Iterator[str]:
    """The address of a web server that hands out the small template."""
    run("git", "clone", "--quiet", "--bare", small.folder, tmp_path / "web/template.git")
    run("git", "update-server-info", cwd=tmp_path / "web/template.git")
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/template.git"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_template_on_a_web_server(project: Path, update: Update, web: str) -> None:
    set_state(project, template=web)
    assert update(project, "--to", "v2").returncode == 0
    assert json.loads((project / ".cruft.json").read_text())["template"] == web


def test_a_template_by_ssh(project: Path, update: Update, small: SmallTemplate, tmp_path: Path) -> None:
    set_state(project, template=f"git@example.com:{small.folder}")
    # What git wants to run over there runs here.
    (tmp_path / "ssh").write_text('#!/bin/sh\nshift $(($# - 1))\nexec sh -c "$1"\n')
    (tmp_path / "ssh").chmod(0o755)
    done = update(project, "--to", "v2", env={"GIT_SSH_COMMAND": shlex.quote(str(tmp_path / "ssh"))})
    assert done.returncode == 0, done


def test_a_template_by_file_url_in_a_directory_of_its_repository(
    project: Path, update: Update, small: SmallTemplate, tmp_path: Path
) -> None:
    several = copy(small.folder, tmp_path / "several")
    (several / "one").mkdir()
    run("git", "mv", FOLDER, "cookiecutter.json", "updater", "requirements", "one", cwd=several)
    commit(several, "one of several")
    first = run("git", "rev-parse", "HEAD", cwd=several).stdout.strip()
    edit(several / "one" / FOLDER / "README.md", "## Build", "## Make")
    commit(several, "more")
    set_state(project, template=f"file://{several}", directory="one", commit=first)
    assert update(project, "--to", "main").returncode == 0
    assert "## Make" in (project / "README.md").read_text()


def test_a_project_in_a_directory_of_its_repository(born: Callable[..., Path], update: Update, tmp_path: Path) -> None:
    new_repository(tmp_path / "all")
    project = copy(born("v1"), tmp_path / "all/the services/one")
    other = tmp_path / "all/README.md"
    (tmp_path / "all/the services/oneself").write_text("not in the project, though its name begins like it\n")
    other.write_text("# All\n")
    run("rm", "-r", project / ".git")
    commit(tmp_path / "all", "all")
    other.write_text("# Someone is working on this\n")
    done = update(project, "--to", "v2")
    assert done.returncode == 0, done
    lines = run("git", "status", "--porcelain", cwd=project).stdout.splitlines()
    assert " M README.md" in lines
    assert 'M  "the services/one/README.md"' in lines
    assert all("the services/one/" in line for line in lines if line != " M README.md")
    assert "make up" in (project / "README.md").read_text()


def test_the_state_is_what_cruft_would_have_written(project: Path, update: Update, tmp_path: Path) -> None:
    by_cruft = copy(project, tmp_path / "cruft")
    answers = ("v2", json.dumps({"greeting": "Grüß Gott"}))
    run("cruft", "update", "-y", "--checkout", answers[0], "--variables-to-update", answers[1], cwd=by_cruft)
    assert update(project, "--to", answers[0], "--vars", answers[1]).returncode == 0
    assert (project / ".cruft.json").read_bytes() == (by_cruft / ".cruft.json").read_bytes()


def test_cruft_goes_on_where_an_update_has_ended(project: Path, update: Update) -> None:
    assert update(project, "--to", "v2").returncode == 0
    commit(project, "update 1")
    assert run("cruft", "diff", cwd=project).stdout.count("\n+++") == 1  # the README, with the team's words
    run("cruft", "update", "-y", "--checkout", "v3", cwd=project)
    commit(project, "update 2")
    assert update(project).returncode == 0
    assert "platform team" in (project / "README.md").read_text()


def test_check_says_the_same_and_touches_nothing(project: Path, update: Update) -> None:
    before = state_of(project)
    check = update(project, "--to", "v2", "--check")
    assert check.returncode == 0
    assert state_of(project) == before
    done = update(project, "--to", "v2")
    assert check.stdout.splitlines()[:-1] == done.stdout.splitlines()[:-1]


def test_check_of_a_conflict(project: Path, update: Update) -> None:
    edit(project / "README.md", "Run `make`.", "Run our script.")
    commit(project, "our script")
    before = state_of(project)
    check = update(project, "--to", "v2", "--check")
    assert check.returncode == 1
    assert check.stdout.splitlines()[-1].startswith("update: exit status 1: conflicts in README.md; ")
    assert state_of(project) == before


def test_both_sides_give_their_reasons_for_a_conflict(project: Path, update: Update) -> None:
    edit(project / "README.md", "Run `make`.", "Run our script.")
    commit(project, "Our script does more than make")
    done = update(project, "--to", "v3")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["Our", "script", "does", "more", "than", "make"] in [line[2:] for line in lines if line[:1] == ["yours"]]
    assert ["`make", "up`"] in [line[2:] for line in lines if line[:1] == ["template"]]
    news = done.stdout[done.stdout.index("New in the template's CHANGELOG.md:") :]
    assert "## v3" in news
    assert "## v2" in news
    assert "## v1" not in news


def test_a_conflict_that_was_resolved_is_not_asked_again(project: Path, update: Update) -> None:
    edit(project / "README.md", "Run `make`.", "Run our script.")
    commit(project, "our script")
    assert update(project, "--to", "v2").returncode == 1
    run("git", "checkout", "--quiet", "--ours", "README.md", cwd=project)
    commit(project, "ours is right")
    done = update(project, "--to", "v3")
    assert done.returncode == 0, done
    assert "Run our script." in (project / "README.md").read_text()


def test_an_update_can_be_undone(project: Path, update: Update) -> None:
    before = state_of(project)
    done = update(project, "--to", "v3")
    command = done.stdout.rsplit("`", 2)[1]
    assert command.startswith("git restore")
    run(*command.split(), cwd=project)
    assert state_of(project) == before


def test_nothing_new(project: Path, update: Update) -> None:
    before = state_of(project)
    done = update(project, "--to", "v1", "--vars", '{"flavour": "plain"}')
    assert done.returncode == 0
    assert done.stdout == "update: exit status 0: nothing new\n"
    assert state_of(project) == before


def test_back_to_an_older_version(project: Path, update: Update) -> None:
    before = state_of(project)
    assert update(project, "--to", "v3").returncode == 0
    commit(project, "update")
    assert update(project, "--to", "v1").returncode == 0
    after = state_of(project)
    assert {name: after[name] for name in before if "." in name} == {n: before[n] for n in before if "." in n}


@pytest.mark.parametrize("conflict", [False, True])
def test_a_branch_takes_the_result_and_the_rest_stays(project: Path, update: Update, conflict: bool) -> None:
    if conflict:
        edit(project / "README.md", "Run `make`.", "Run our script.")
        commit(project, "our script")
    before = state_of(project)
    done = update(project, "--to", "v2", "--branch", "update/v2")
    assert done.returncode == conflict, done
    after = state_of(project)
    branch = run("git", "rev-parse", "update/v2", cwd=project).stdout.strip()
    assert after.pop("for-each-ref") != before.pop("for-each-ref")
    assert after == before
    assert (
        run("git", "rev-parse", "update/v2^", cwd=project).stdout == run("git", "rev-parse", "HEAD", cwd=project).stdout
    )
    message = run("git", "show", "--no-patch", "--format=%B", branch, cwd=project).stdout
    assert ("CONFLICT        README.md" in message) == conflict
    assert "`make up`" in message
    readme = run("git", "show", "update/v2:README.md", cwd=project).stdout
    assert ("<<<<<<< yours" in readme) == conflict
    again = update(project, "--to", "v2", "--branch", "update/v2")
    assert again.returncode == 2
    # The same update is the same commit, whenever it is made.
    assert update(project, "--to", "v2", "--branch", "other").returncode == conflict
    assert run("git", "rev-parse", "other", cwd=project).stdout.strip() == branch


SETTINGS = """\
[safe]
    bareRepository = explicit
[transfer]
    fsckObjects = true
[clone]
    rejectShallow = true
[protocol]
    allow = never
[protocol "file"]
    allow = always
[user]
    useConfigOnly = true
[commit]
    gpgSign = true
[core]
    autocrlf = true
    excludesFile = {excludes}
    hooksPath = {hooks}
[merge]
    renames = false
    conflictStyle = merge
    directoryRenames = true
[diff]
    renames = false
    noprefix = true
    external = false
[color]
    ui = always
[status]
    showUntrackedFiles = no
"""


@pytest.fixture
def strange(small: SmallTemplate, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has set all that could make a difference, in a hook of another repository."""
    (tmp_path / "rc").write_text("default_context:\n  database: postgres\n  greeting: mine\n")
    (tmp_path / "excludes").write_text("*.conf\n")
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/post-checkout").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "hooks/post-checkout").chmod(0o755)
    (tmp_path / "gitconfig").write_text(SETTINGS.format(excludes=tmp_path / "excludes", hooks=tmp_path / "hooks"))
    return {
        "COOKIECUTTER_CONFIG": str(tmp_path / "rc"),
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_DIR": str(small.folder / ".git"),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_PREFIX": "docker/",
    }


def test_the_settings_of_whoever_updates_play_no_part(
    project: Path, update: Update, tmp_path: Path, strange: dict[str, str]
) -> None:
    run("git", "mv", "docker/settings.conf", "docker/ours.conf", cwd=project)
    commit(project, "moved")
    plain = copy(project, tmp_path / "plain")
    done, other = update(project, "--to", "v2", env=strange), update(plain, "--to", "v2")
    assert (done.returncode, other.returncode) == (0, 0), (done, other)
    assert done.stdout == other.stdout
    staged = [run("git", "ls-files", "--stage", cwd=folder).stdout for folder in (project, plain)]
    assert staged[0] == staged[1]
    assert "docker/new.conf" in staged[0]
    assert json.loads((project / ".cruft.json").read_text())["context"]["cookiecutter"]["database"] == "none"


def test_a_file_that_git_status_would_hide_is_found(project: Path, update: Update, strange: dict[str, str]) -> None:
    (project / "own.txt").write_text("not committed\n")
    done = update(project, "--to", "v2", env=strange)
    assert done.returncode == 2
    assert "?? own.txt" in done.stderr


def test_a_new_name_for_the_package_leaves_the_teams_code(project: Path, update: Update) -> None:
    """It is the team's, so the team moves it."""
    assert update(project, "--to", "v1", "--vars", '{"slug": "sales"}').returncode == 0
    assert (project / "src/orders/app.py").read_text() == "VERSION = 1\n"
    assert "# sales" in (project / "README.md").read_text()


def test_a_project_that_was_linked(update: Update, small: SmallTemplate, tmp_path: Path) -> None:
    """A service from elsewhere, without a word of what is the team's."""
    project = copy(small.render("v1"), tmp_path / "adopted")
    edit(project / "pyproject.toml", "[tool.cruft]\nskip", "[tool.other]\nskip")
    (project / "src/orders/app.py").write_text("OURS = 1\n")
    new_repository(project)
    run("cruft", "link", str(small.folder), "-y", "--checkout", "v1", cwd=project)
    commit(project, "linked")
    assert update(project, "--to", "v2").returncode == 0
    assert (project / "src/orders/app.py").read_text() == "OURS = 1\n"
    assert "make up" in (project / "README.md").read_text()


def test_what_is_new_below_a_path_that_was_the_teams_arrives(
    update: Update, small: SmallTemplate, tmp_path: Path
) -> None:
    """As src/service_runtime does, for projects that were told that all of src is theirs."""
    template = copy(small.folder, tmp_path / "template")
    run("git", "switch", "--quiet", "--create", "older", "v1", cwd=template)
    edit(template / FOLDER / "pyproject.toml", '"src/{{ cookiecutter.slug }}"', '"src"')
    run("git", "rm", "-r", "--quiet", f"{FOLDER}/src/runtime", cwd=template)
    commit(template, "all of src is the team's")
    run("cruft", "create", str(template), "-y", "--output-dir", tmp_path / "out")
    project = tmp_path / "out/orders"
    (project / "src/shared").mkdir()
    (project / "src/shared/own.py").write_text("OURS = 1\n")
    (project / "src/orders/app.py").write_text("OURS = 1\n")
    edit(project / "pyproject.toml", '"poetry.lock"]', '"poetry.lock",\n    "docker/settings.conf"]')
    (project / "docker/settings.conf").write_text("ours from now on\n")
    new_repository(project)
    commit(project, "our work")
    run("git", "revert", "--no-edit", "HEAD", cwd=template)
    edit(template / FOLDER / "src/{{cookiecutter.slug}}/app.py", "1", "7")
    edit(template / FOLDER / "docker/settings.conf", "number 7", "the seventh")
    commit(template, "src/runtime is the template's")

    done = update(project, "--to", "older")
    assert done.returncode == 1, done
    assert "conflicts in pyproject.toml;" in done.stdout  # both have changed the list
    assert (project / "src/runtime/init.py").exists()
    assert (project / "src/orders/app.py").read_text() == "OURS = 1\n"
    assert (project / "src/shared/own.py").read_text() == "OURS = 1\n"
    assert (project / "docker/settings.conf").read_text() == "ours from now on\n"
    assert "yours           src/orders/app.py: " in done.stdout


def test_what_a_team_takes_from_the_list_is_updated_again(
    update: Update, born: Callable[..., Path], tmp_path: Path
) -> None:
    project = copy(born("v1"), tmp_path / "project")
    edit(project / "pyproject.toml", '"tests", "poetry.lock"]', '"tests"]')
    commit(project, "the lock is the template's")
    assert update(project, "--to", "v2").returncode == 0
    assert (project / "poetry.lock").read_text() == "lock 2\n"
