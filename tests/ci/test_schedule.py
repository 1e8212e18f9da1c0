"""The scheduled update, run for real by both pipelines: a new version becomes a request, hostile code does not."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ci.pipelines import HERE, MAIN, SCHEDULE, Event, Machine, Pipeline, run_github, run_gitlab
from tests.helpers.machine import index_environment, interpreters
from tests.helpers.project import run
from tests.helpers.repository import commit, create, edit

# What the environment of a job with a token would hold.
TOKENS = {
    "github": ("GH_TOKEN", "secret-1", "secret-2"),
    "gitlab": ("TEMPLATE_UPDATE_TOKEN", "CI_JOB_TOKEN", "gitlab-ci-token"),
}
PROJECT = "{{cookiecutter.project_slug}}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The environment of the jobs: one Python, an origin in this folder, and `gh` without a GitHub."""
    version, python = next(iter(interpreters().items()))
    (tmp_path / f"pythons/{version}").mkdir(parents=True)
    (tmp_path / f"pythons/{version}/bin").symlink_to(python.parent)
    not_theirs = ("MAKEFLAGS", "MAKELEVEL", "PYTHON", "VIRTUAL_ENV")
    env = {
        **{name: value for name, value in os.environ.items() if name not in not_theirs},
        **index_environment(),
        "PATH": f"{HERE}/programs:{tmp_path}/pythons/{version}/bin:{os.environ['PATH']}",
        "PIPELINE_DOCKER_PLUGINS": "/nowhere",
        "PIPELINE_GH": str(tmp_path),
        "PIPELINE_PYTHONS": str(tmp_path / "pythons"),
        "PYTHON_VERSION": version,
    }
    # Wherever the jobs think that they push to, it is this.
    addresses = ("https://github.com/team/service", "https://oauth2:secret@gitlab.com/team/service.git")
    for number, address in enumerate(addresses):
        env[f"GIT_CONFIG_KEY_{number}"] = f"url.file://{tmp_path}/origin.git.insteadOf"
        env[f"GIT_CONFIG_VALUE_{number}"] = address
    return Machine(tmp_path, {**env, "GIT_CONFIG_COUNT": "2"})


@dataclass(frozen=True)
class Schedule:
    """A project in a repository, its template, and the pipeline of its CI."""

    ci: str
    machine: Machine
    template: Path
    project: Path

    @property
    def origin(self) -> Path:
        return self.machine.folder / "origin.git"

    def publish(self) -> None:
        """Bring the project into the repository that the jobs push to."""
        run("git", "branch", "--move", "--force", "main", cwd=self.project)
        run("git", "remote", "add", "origin", "https://github.com/team/service.git", cwd=self.project)
        run("git", "clone", "--quiet", "--bare", self.project, self.origin)
        run("git", "config", "receive.advertisePushOptions", "true", cwd=self.origin)

    def run(self, event: Event = SCHEDULE) -> Pipeline:
        """Run the jobs, with every token that there may be."""
        if self.ci == "github":
            tokens = ("--secret", "TEMPLATE_TOKEN=secret-1", "--secret", "TEMPLATE_UPDATE_TOKEN=secret-2")
            workflow = ("--workflows", ".github/workflows/template-update.yml")
            return run_github(self.machine, self.project, event, *workflow, *tokens)
        done = run_gitlab(self.machine, self.project, event, "", "template-update", "template-update-push")
        assert done, "there is no pipeline"
        return done

    def branch(self) -> str:
        return run("git", "for-each-ref", "refs/heads/template-update", cwd=self.origin).stdout


@pytest.fixture(params=["github", "gitlab"])
def schedule(request: pytest.FixtureRequest, machine: Machine, template: Path, tmp_path: Path) -> Schedule:
    """A project, and a template that has a new version."""
    ci = request.param
    answers = {"python_version": machine.env["PYTHON_VERSION"], "service_type": "worker", "mirror": "none", "ci": ci}
    project = create(template, tmp_path / "made", answers)
    edit(template / PROJECT / "README.md", "## Start", "## Begin")
    commit(template, "another word")
    return Schedule(ci, machine, template, project)


def test_a_new_version_becomes_a_change_request(schedule: Schedule, tmp_path: Path) -> None:
    """With an environment of the updater's that is installed here, from the index that the project uses."""
    schedule.publish()
    if schedule.ci == "gitlab":
        assert not schedule.run(MAIN).log, "only a schedule runs it"
    done = schedule.run()
    assert done.status == 0, done.log
    message = run("git", "show", "--no-patch", "--format=%B", "template-update", cwd=schedule.origin).stdout
    assert message.startswith("Update from the template\n\ntemplate ")
    assert "    changed         README.md" in message
    if schedule.ci == "github":
        assert (tmp_path / "text").read_text().strip() == message.split("\n", 1)[1].strip()


# A hook that takes what it can get: it notes its environment and git's settings, leaves a `git` that does so as well
# where later steps and jobs might find it, and adds to the project what would run as soon as it is pushed.
HOSTILE = """
import os
import pathlib
import subprocess

loot = pathlib.Path({loot!r})
with loot.open("a") as file:
    file.write(str(dict(os.environ)))
    file.write(subprocess.run(["git", "config", "--list"], cwd={project!r}, capture_output=True, text=True).stdout)
    settings = pathlib.Path(os.environ["HOME"], ".gitconfig")
    file.write(settings.read_text() if settings.exists() else "")
fake = pathlib.Path({fake!r})
fake.mkdir(exist_ok=True)
(fake / "git").write_text('#!/bin/sh\\nenv >>{loot}\\nexec /usr/bin/git "$@"\\n')
(fake / "git").chmod(0o755)
if "GITHUB_PATH" in os.environ:
    with open(os.environ["GITHUB_PATH"], "a") as file:
        file.write(str(fake) + "\\n")
settings.write_text("[core]\\n\\tfsmonitor = env >>{loot}; false\\n")
for name in (".github/workflows/evil.yml", ".gitlab/evil.yml"):
    if pathlib.Path(name).parent.exists():
        pathlib.Path(name).write_text("on: push\\n")
"""


def test_a_hostile_hook_gets_no_token_and_nothing_pushed(schedule: Schedule, tmp_path: Path) -> None:
    loot = tmp_path / "loot"
    hook = schedule.template / "hooks/post_gen_project.py"
    text = HOSTILE.format(loot=str(loot), fake=str(tmp_path / "fake"), project=str(schedule.project))
    hook.write_text(hook.read_text().replace("# {% endraw %}", f"{text}# {{% endraw %}}"))
    commit(schedule.template, "hostile")
    schedule.publish()
    done = schedule.run()
    assert loot.exists(), done.log
    for token in TOKENS[schedule.ci]:
        assert token not in loot.read_text()
    assert "nothing was pushed: the update changes " in done.log
    assert done.status != 0
    assert not schedule.branch()


def test_a_hostile_package_is_not_even_installed(schedule: Schedule, tmp_path: Path) -> None:
    """What installs packages, and thereby runs their code, here notes its environment and adds to the branch."""
    loot = tmp_path / "loot"
    hostile = f"env >>{loot}; echo ours >>README.md; git commit --quiet --all --amend --no-edit"
    edit(schedule.project / "Makefile", "$(UV_INSTALL) --editable .", hostile)
    commit(schedule.project, "a hostile package")
    schedule.publish()
    done = schedule.run()
    assert done.status == 0, done.log
    assert not loot.exists()
    assert run("git", "diff", "--name-only", "main", "template-update", cwd=schedule.origin).stdout.split() == [
        ".cruft.json",
        "README.md",
    ]
    assert "ours" not in run("git", "show", "template-update:README.md", cwd=schedule.origin).stdout.splitlines()
