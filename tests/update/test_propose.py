"""The scheduled update, job by job: a branch with the update and a change request, and what its second job refuses."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.helpers.combinations import ROOT
from tests.helpers.project import Bake, Run, run
from tests.helpers.repository import commit, edit
from tests.helpers.update import provide_environment, update
from tests.update.projects import copy, set_state, state_of

BRANCH = "refs/heads/template-update"
BUNDLE = "template-update.bundle"
# The files of a project that its CI runs, and one of them.
PIPELINE = {"github": [".github"], "gitlab": [".gitlab-ci.yml", ".gitlab"]}
RUNS = {"github": ".github/workflows/ci.yml", "gitlab": ".gitlab-ci.yml"}
# Keeps the options of a push.
HOOK = """\
#!/bin/sh
for n in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do printenv GIT_PUSH_OPTION_$n; done >>{folder}/options
"""


def scripts(project: Path) -> tuple[str, str]:
    """Return what the two jobs run: the first has to find an update, the second to push it."""
    if (project / ".github").exists():
        jobs = yaml.safe_load((project / ".github/workflows/template-update.yml").read_text())["jobs"]
        steps = [[step["run"] for step in jobs[name]["steps"] if "run" in step] for name in ("render", "push")]
    else:
        jobs = yaml.safe_load((project / ".gitlab/template-update.yml").read_text())
        steps = [jobs[name]["script"] for name in ("template-update", "template-update-push")]
    return "\n".join(steps[0]), "\n".join(steps[1])


@dataclass(frozen=True)
class Service:
    """A project in a bare repository, and the machine of the jobs; each job runs in a fresh, shallow clone."""

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
        """Return a fresh clone as a job gets it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        run("git", "clone", "--quiet", "--depth=1", self.origin, self.folder / name)
        return self.folder / name

    def job(self, script: str, where: Path) -> Run:
        """Run a script as the CI does."""
        env = {
            "PATH": f"{ROOT}/tests/ci/programs:{os.environ['PATH']}",
            "PIPELINE_GH": str(self.folder),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_REF_NAME": "main",
            "GITHUB_STEP_SUMMARY": "",
            "RUNNER_TEMP": str(self.folder / "temp"),
            "CI_COMMIT_REF_NAME": "main",
            "CI_JOB_TOKEN": "token",
            "CI_PROJECT_URL": "https://gitlab.com/team/service",
            "CI_SERVER_HOST": "gitlab.com",
            "TEMPLATE_UPDATE_TOKEN": "secret",
            # Wherever a job thinks that it pushes to.
            "GIT_CONFIG_PARAMETERS": f"'url.{self.origin}.insteadOf=https://oauth2:secret@gitlab.com/team/service.git'",
        }
        return run("bash", "-e", "-c", script, cwd=where, env=env, check=False)

    def render(self) -> tuple[Run, Path]:
        """Run the first job; return its run and its clone, with the bundle if there is something new."""
        first = self.clone("first")
        provide_environment(first)
        return self.job(scripts(first)[0], first), first

    def push(self, bundle: Path) -> Run:
        """Run the second job, with the artifact of the first."""
        second = self.clone("second")
        script = scripts(second)[1]
        place = self.folder / "temp/template-update"
        if self.ci == "gitlab":
            place = second = self.folder / "empty"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if bundle.exists():
            shutil.copy(bundle, place / BUNDLE)
        return self.job(script, second)

    def propose(self) -> Run:
        """Run both jobs; the first must find an update. Return the run of the second."""
        done, first = self.render()
        assert done.returncode == 0, done
        return self.push(first / BUNDLE)

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


@pytest.fixture(params=["github", "gitlab"])
def service(request: pytest.FixtureRequest, born: Callable[..., Path], rendered: Bake, tmp_path: Path) -> Service:
    """A project of version 3 of the small template, with the Makefile and the pipeline of one of this template."""
    service = Service(tmp_path, request.param)
    work = copy(born("v3"), tmp_path / "work")
    ours = rendered(ci=service.ci).path
    for name in ("Makefile", *PIPELINE[service.ci]):
        run("cp", "-r", ours / name, work / name)
    commit(work, "our work")
    run("git", "clone", "--quiet", "--bare", work, tmp_path / "origin.git")
    run("git", "config", "receive.advertisePushOptions", "true", cwd=tmp_path / "origin.git")
    run("git", "remote", "add", "origin", service.origin, cwd=work)
    hook = tmp_path / "origin.git/hooks/post-receive"
    hook.write_text(HOOK.format(folder=tmp_path))
    hook.chmod(0o755)
    return service


github_alone = pytest.mark.parametrize("service", ["github"], indirect=True)
gitlab_alone = pytest.mark.parametrize("service", ["gitlab"], indirect=True)


def test_what_is_new_becomes_a_request(service: Service) -> None:
    done = service.propose()
    assert done.returncode == 0, done
    assert "Ask the platform team." in service.show(f"{BRANCH}:README.md")
    assert service.show(f"{BRANCH}^").splitlines()[0] == service.show("main").splitlines()[0]
    text = service.said()
    indent = "    " if service.ci == "gitlab" else ""
    assert text.startswith(f"{indent}template ")
    news = ("New in the template's CHANGELOG.md:", "", "## v4", "", "- No spicy flavour any more")
    assert "\n".join(indent + line for line in news) in text
    assert f"\n{indent}    changed         README.md" in text
    assert "Conflicts" not in text
    if service.ci == "github":
        calls = (service.folder / "calls").read_text()
        assert "pr create --head template-update --base main --title Update from the template" in calls
    else:
        options = (service.folder / "options").read_text().splitlines()
        assert options[:4] == [
            "merge_request.create",
            "merge_request.target=main",
            "merge_request.remove_source_branch",
            "merge_request.title=Update from the template",
        ]


def test_conflicts_are_a_list(service: Service) -> None:
    service.change(lambda work: edit(work / "README.md", "Ask the team.", "Ask Ada."))
    assert service.propose().returncode == 0
    assert "<<<<<<< yours" in service.show(f"{BRANCH}:README.md")
    text = service.said().replace("\n    ", "\n")
    assert "\nConflicts, to be resolved on this branch:\n\n- `README.md`\n" in text
    assert "CONFLICT        README.md: both have changed it" in text


def test_nothing_new_is_no_request(service: Service) -> None:
    service.change(update)
    done, first = service.render()
    assert done.returncode == 0, done
    assert "nothing new" in done.stdout
    assert not (first / BUNDLE).exists()
    assert not (service.folder / "output").exists()
    if service.ci == "gitlab":
        pushed = service.push(first / BUNDLE)
        assert (pushed.stdout, pushed.returncode) == ("nothing to propose\n", 0)
    assert not service.tip()


@github_alone
def test_what_is_not_possible_is_red_and_touches_nothing(service: Service) -> None:
    service.change(lambda work: set_state(work, template="/no/template"))
    before = state_of(service.clone("first"))
    done, first = service.render()
    assert done.returncode != 0
    assert "'/no/template' does not exist" in done.stderr
    assert state_of(first) == before


def test_the_same_again_and_something_newer(service: Service) -> None:
    service.propose()
    first = service.tip()
    assert service.propose().returncode == 0
    assert service.tip() == first
    service.change(lambda work: (work / "docker/ours.txt").write_text("more\n"))
    service.propose()
    assert service.tip() != first
    assert service.show(f"{BRANCH}^").splitlines()[0] == service.show("main").splitlines()[0]
    if service.ci == "github":
        calls = (service.folder / "calls").read_text()
        assert calls.count("pr create ") == 1
        assert calls.count("pr edit template-update ") == 2


def test_a_branch_that_people_have_committed_to_is_theirs(service: Service) -> None:
    service.propose()
    service.change(lambda work: (work / "docker/ours.txt").write_text("resolved\n"), "template-update")
    theirs = service.tip()
    done = service.propose()
    assert done.returncode == 0
    assert "has commits of people" in done.stdout
    assert service.tip() == theirs


@github_alone
def test_a_request_that_people_have_closed_stays_closed(service: Service) -> None:
    service.propose()
    edit(service.folder / "request", "OPEN", "CLOSED")
    done = service.propose()
    assert "people have closed" in done.stdout
    assert (service.folder / "calls").read_text().count("pr create ") == 1


@github_alone
def test_a_push_that_is_refused_is_red_with_gits_reason(service: Service) -> None:
    hook = service.folder / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no room left >&2; exit 1\n")
    hook.chmod(0o755)
    done = service.propose()
    assert done.returncode != 0
    assert "no room left" in done.stderr


def new_workflow(clone: Path, ci: str) -> None:
    path = clone / (".github/workflows/evil.yml" if ci == "github" else ".gitlab/evil.yml")
    path.write_text("on: push\n")


def changed_workflow(clone: Path, ci: str) -> None:
    with (clone / RUNS[ci]).open("a") as file:
        file.write("# changed\n")


def no_workflows(clone: Path, ci: str) -> None:
    run("git", "rm", "-r", "--quiet", *PIPELINE[ci], cwd=clone)


def second_commit(clone: Path, _: str) -> None:
    (clone / "docker/ours.txt").write_text("one\n")
    commit(clone, "one more")
    (clone / "docker/ours.txt").write_text("two\n")


def other_parent(clone: Path, _: str) -> None:
    run("git", "checkout", "--quiet", "--orphan", "other", cwd=clone)
    commit(clone, "a history of its own")
    (clone / "docker/ours.txt").write_text("ours\n")


def merge_commit(clone: Path, _: str) -> None:
    other = run("git", "commit-tree", "HEAD^{tree}", "-m", "other", cwd=clone).stdout.strip()
    run("git", "merge", "--quiet", "--no-commit", "--strategy=ours", "--allow-unrelated-histories", other, cwd=clone)


@pytest.mark.parametrize(
    "change", [new_workflow, changed_workflow, no_workflows, second_commit, other_parent, merge_commit]
)
def test_the_second_job_trusts_no_bundle(service: Service, change: Callable[[Path, str], None]) -> None:
    """It has no other input. Whatever ran in the first job may have written this one, as the updater's own commit."""
    first = service.clone("first")
    change(first, service.ci)
    run("git", "add", "--all", cwd=first)
    run("git", "commit", "--quiet", "--message", "Update from the template", cwd=first)
    run("git", "bundle", "create", "--quiet", BUNDLE, "HEAD", cwd=first)
    run("git", "branch", "--force", "template-update", cwd=first)
    run("git", "bundle", "create", "--quiet", BUNDLE, "template-update", cwd=first)
    done = service.push(first / BUNDLE)
    assert done.returncode == 1
    assert "nothing was pushed: " in done.stdout
    assert not service.tip()


@gitlab_alone
def test_a_git_folder_among_the_artifacts_is_not_used(service: Service) -> None:
    """GitLab unpacks artifacts into the folder that a job starts in, and a hostile one may bring settings for git."""
    done, first = service.render()
    assert done.returncode == 0, done
    canary = service.folder / "canary"
    empty = service.folder / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    run("git", "init", "--quiet", empty)
    for name in ("pre-push", "post-checkout", "reference-transaction"):
        hook = empty / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\nenv >{canary}\n")
        hook.chmod(0o755)
    shutil.copy(first / BUNDLE, empty)
    pushed = service.job(scripts(first)[1], empty)
    assert pushed.returncode == 0, pushed
    assert service.tip()
    assert not canary.exists()


def test_only_git_gets_the_tokens(rendered: Bake) -> None:
    """That for the template is in a step that clones it; that which may push is in the job that does."""
    workflows = rendered(ci="github").path / ".github/workflows"
    using = {path.name for path in workflows.iterdir() if "secrets." in path.read_text()}
    assert using == {"template-update.yml"}
    jobs = yaml.safe_load((workflows / "template-update.yml").read_text())["jobs"]
    for name, secret in (("render", "TEMPLATE_TOKEN"), ("push", "TEMPLATE_UPDATE_TOKEN")):
        (step,) = [step for step in jobs[name]["steps"] if "secrets." in str(step)]
        assert step["env"] == {"GH_TOKEN": f"${{{{ secrets.{secret} || github.token }}}}"}
        assert "secrets." not in str({**jobs[name], "steps": []})
    (step,) = [step for step in jobs["render"]["steps"] if "env" in step]
    assert step["run"].splitlines() == ["gh auth setup-git", "make template"]
    assert jobs["render"]["permissions"] == {"contents": "read"}
    assert "make" not in str(jobs["push"]["steps"][-1]["run"]).replace("make update, then push", "")
