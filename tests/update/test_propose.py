"""What the scheduled job of CI does: a branch with the update, the checks' result, and a change request."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run
from tests.helpers.repository import commit, edit
from tests.update.conftest import UPDATE
from tests.update.projects import copy, set_state, state_of

PROPOSE = ROOT / "{{cookiecutter.project_slug}}/tools/propose.py"
BRANCH = "refs/heads/template-update"
# The project's own `make after-update`, which locks and checks.
MAKEFILE = "after-update:\n\t{command}\n"
# Keeps the options of a push.
HOOK = """\
#!/bin/sh
for n in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do printenv GIT_PUSH_OPTION_$n; done >>{folder}/options
"""


@dataclass(frozen=True)
class Service:
    """A project in a bare repository, and the machine of the job; each step runs in a fresh, shallow clone."""

    folder: Path
    ci: str

    @property
    def origin(self) -> str:
        return f"file://{self.folder}/origin.git"

    def change(self, change: Callable[[Path], object], branch: str = "main") -> None:
        """Have the team change something, and push it."""
        work = self.folder / "work"
        run("git", "fetch", "--quiet", "origin", branch, cwd=work)
        run("git", "switch", "--quiet", "--force-create", branch, "FETCH_HEAD", cwd=work)
        change(work)
        if run("git", "status", "--porcelain", cwd=work).stdout:
            commit(work, "our work")
        run("git", "push", "--quiet", "origin", branch, cwd=work)

    def clone(self, name: str) -> Path:
        run("rm", "-rf", self.folder / name)
        run("git", "clone", "--quiet", "--depth=1", self.origin, self.folder / name)
        return self.folder / name

    def step(self, name: str, where: Path) -> Run:
        env = {
            "PATH": f"{ROOT}/tests/ci/programs:{os.environ['PATH']}",
            "PIPELINE_GH": str(self.folder),
            "GITHUB_REF_NAME": "main",
            "CI_COMMIT_REF_NAME": "main",
            "CI_REPOSITORY_URL": self.origin,
            "GITLAB_CI": "true" if self.ci == "gitlab" else "",
        }
        return run(sys.executable, PROPOSE, name, cwd=where, env=env, check=False)

    def propose(self) -> list[Run]:
        """Run both steps; on GitHub the second one in a clone of its own, with the artifact of the first."""
        first = self.clone("first")
        prepared = self.step("prepare", first)
        second = first
        if self.ci == "github":
            second = self.clone("second")
            if (first / "template-update.bundle").exists():
                (second / "template-update.bundle").write_bytes((first / "template-update.bundle").read_bytes())
        return [prepared, self.step("push", second)]

    def tip(self) -> str:
        return run("git", "ls-remote", self.origin, BRANCH).stdout.split("\t")[0]

    def show(self, what: str) -> str:
        return run("git", "show", what, cwd=self.folder / "origin.git").stdout

    def said(self) -> str:
        """Return the text of the request."""
        if self.ci == "github":
            return (self.folder / "text").read_text()
        options = (self.folder / "options").read_text().splitlines()
        text = next(line for line in options if line.startswith("merge_request.description="))
        return text.removeprefix("merge_request.description=").replace("\\n", "\n")

    def requests(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads((self.folder / "requests").read_text())
        return found


@pytest.fixture(params=["github", "gitlab"])
def service(request: pytest.FixtureRequest, born: Callable[..., Path], tmp_path: Path) -> Service:
    """A project of version 3, whose checks go well."""
    service = Service(tmp_path, request.param)
    work = copy(born("v3"), tmp_path / "work")
    (work / "Makefile").write_text(MAKEFILE.format(command="echo all is well"))
    (work / ".gitignore").write_text("template-update.bundle\n")
    commit(work, "our work")
    run("git", "clone", "--quiet", "--bare", work, tmp_path / "origin.git")
    run("git", "config", "receive.advertisePushOptions", "true", cwd=tmp_path / "origin.git")
    run("git", "remote", "add", "origin", service.origin, cwd=work)
    hook = tmp_path / "origin.git/hooks/post-receive"
    hook.write_text(HOOK.format(folder=tmp_path))
    hook.chmod(0o755)
    (tmp_path / "requests").write_text("[]")
    return service


def test_what_is_new_becomes_a_request(service: Service) -> None:
    prepared, pushed = service.propose()
    assert (prepared.returncode, pushed.returncode) == (0, 0), (prepared, pushed)
    assert "Ask the platform team." in service.show(f"{BRANCH}:README.md")
    assert service.show(f"{BRANCH}^").splitlines()[0] == service.show("main").splitlines()[0]
    text = service.said()
    assert text.startswith("`make check` passed on this branch.\n\ntemplate ")
    assert "\nNew in the template's CHANGELOG.md:\n\n## v4\n\n- No spicy flavour any more\n" in text
    assert "\n    changed         README.md" in text
    assert "Conflicts" not in text
    if service.ci == "github":
        assert (
            "pr create --head template-update --base main --title Update from the template"
            in (service.folder / "calls").read_text()
        )
    else:
        options = (service.folder / "options").read_text().splitlines()
        assert options[:4] == [
            "merge_request.create",
            "merge_request.target=main",
            "merge_request.remove_source_branch",
            "merge_request.title=Update from the template",
        ]


def test_conflicts_are_a_list_and_no_checks_are_run(service: Service) -> None:
    service.change(lambda work: edit(work / "README.md", "Ask the team.", "Ask Ada."))
    assert [done.returncode for done in service.propose()] == [0, 0]
    assert "<<<<<<< yours" in service.show(f"{BRANCH}:README.md")
    text = service.said()
    assert text.startswith("`make check` was not run: resolve the conflicts first.\n")
    assert "\nConflicts, to be resolved on this branch:\n\n- `README.md`\n" in text
    assert "    CONFLICT        README.md: " in text


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_red_checks_are_told_with_their_last_lines(service: Service) -> None:
    command = "@for n in $$(seq 50); do echo line $$n; done; false"
    service.change(lambda work: (work / "Makefile").write_text(MAKEFILE.format(command=command)))
    assert [done.returncode for done in service.propose()] == [0, 0]
    text = service.said()
    assert text.startswith("**`make check` failed on this branch.** Its last lines:\n\n    line ")
    assert "\n    line 50\n" in text
    assert "    line 10\n" not in text


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_a_new_lock_is_part_of_it(service: Service) -> None:
    command = "echo locked again >poetry.lock"
    service.change(lambda work: (work / "Makefile").write_text(MAKEFILE.format(command=command)))
    service.propose()
    assert service.show(f"{BRANCH}:poetry.lock") == "locked again\n"


@pytest.mark.parametrize("service", ["github"], indirect=True)
@pytest.mark.parametrize("why", ["nothing new", "switched off in pyproject.toml"])
def test_no_request(service: Service, why: str) -> None:
    def up_to_date(work: Path) -> None:
        run(sys.executable, UPDATE, cwd=work)

    def off(work: Path) -> None:
        text = (work / "pyproject.toml").read_text()
        (work / "pyproject.toml").write_text(f"{text}\n[tool.template-update]\nschedule = false\n")

    service.change(up_to_date if why == "nothing new" else off)
    prepared, pushed = service.propose()
    assert (prepared.stdout, prepared.returncode) == (f"propose: {why}\n", 0)
    assert (pushed.stdout, pushed.returncode) == ("propose: nothing to propose\n", 0)
    assert not service.tip()


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_what_is_not_possible_is_red_and_touches_nothing(service: Service) -> None:
    service.change(lambda work: set_state(work, template="/no/template"))
    first = service.clone("first")
    before = state_of(first)
    done = service.step("prepare", first)
    assert done.returncode == 2
    assert done.stderr.startswith("propose: exit status 2: the template /no/template can't be reached:")
    assert state_of(first) == before


def test_the_same_again_and_something_newer(service: Service) -> None:
    service.propose()
    first = service.tip()
    assert [done.returncode for done in service.propose()] == [0, 0]
    assert service.tip() == first
    service.change(lambda work: (work / "docker/ours.txt").write_text("more\n"))
    service.propose()
    assert service.tip() != first
    assert service.show(f"{BRANCH}^").splitlines()[0] == service.show("main").splitlines()[0]
    if service.ci == "github":
        assert [request["number"] for request in service.requests()] == [1]
        assert "pr edit 1 --title" in (service.folder / "calls").read_text()


def test_a_branch_that_people_have_committed_to_is_theirs(service: Service) -> None:
    service.propose()
    service.change(lambda work: (work / "docker/ours.txt").write_text("resolved\n"), "template-update")
    theirs = service.tip()
    done = service.propose()[1]
    assert done.returncode == 0
    assert "has commits of people" in done.stdout
    assert service.tip() == theirs


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_a_request_that_people_have_closed_stays_closed(service: Service) -> None:
    service.propose()
    (request,) = service.requests()
    (service.folder / "requests").write_text(json.dumps([{**request, "state": "CLOSED"}]))
    done = service.propose()[1]
    assert "people have closed" in done.stdout
    assert len(service.requests()) == 1


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_a_push_that_is_refused_is_red_with_gits_reason(service: Service) -> None:
    """As GitHub does when a workflow has changed and the token is its own."""
    hook = service.folder / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho refusing to update workflow ci.yml >&2; exit 1\n")
    hook.chmod(0o755)
    done = service.propose()[1]
    assert done.returncode == 2
    assert "refusing to update workflow ci.yml" in done.stderr
