"""The scheduled update, run for real by both pipelines: from a new version of the template to a change request."""

import os
from pathlib import Path

import pytest

from tests.ci.pipelines import HERE, MAIN, SCHEDULE, Event, Machine, Pipeline, run_github, run_gitlab
from tests.helpers.machine import index_environment, interpreters
from tests.helpers.project import run
from tests.helpers.repository import commit, create, edit

PROJECT = "{{cookiecutter.project_slug}}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The environment of the jobs: one Python, an origin in this folder, and `gh` without a GitHub."""
    version, python = next(iter(interpreters().items()))
    (tmp_path / f"pythons/{version}").mkdir(parents=True)
    (tmp_path / f"pythons/{version}/bin").symlink_to(python.parent)
    (tmp_path / "requests").write_text("[]")
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
    addresses = ("https://github.com/team/service", "https://gitlab-ci-token:token@gitlab.com/team/service.git")
    for number, address in enumerate(addresses):
        env[f"GIT_CONFIG_KEY_{number}"] = f"url.file://{tmp_path}/origin.git.insteadOf"
        env[f"GIT_CONFIG_VALUE_{number}"] = address
    return Machine(tmp_path, {**env, "GIT_CONFIG_COUNT": "2"})


def on_gitlab(machine: Machine, project: Path, event: Event) -> Pipeline:
    """Run the job, in a project without a registry."""
    done = run_gitlab(machine, project, event, "", "template-update")
    assert done, "there is no pipeline"
    return done


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_new_version_becomes_a_change_request(ci: str, machine: Machine, template: Path, tmp_path: Path) -> None:
    answers = {"python_version": machine.env["PYTHON_VERSION"], "service_type": "worker", "mirror": "none", "ci": ci}
    project = create(template, tmp_path / "made", answers)
    if ci == "gitlab":
        # They are run once in full, on GitHub.
        edit(project / "Makefile", "\t@$(MAKE) check\n", "\t@echo checked\n")
        commit(project, "no checks")
    edit(template / PROJECT / "README.md", "## Start", "## Begin")
    commit(template, "another word")
    run("git", "branch", "--move", "--force", "main", cwd=project)
    run("git", "remote", "add", "origin", "https://github.com/team/service.git", cwd=project)
    run("git", "clone", "--quiet", "--bare", project, tmp_path / "origin.git")
    run("git", "config", "receive.advertisePushOptions", "true", cwd=tmp_path / "origin.git")
    if ci == "github":
        done = run_github(machine, project, SCHEDULE, "--workflows", ".github/workflows/template-update.yml")
    else:
        done = on_gitlab(machine, project, MAIN)
        assert not done.log, "only a schedule runs it"
        done = on_gitlab(machine, project, SCHEDULE)
    assert done.status == 0, done.log
    message = run("git", "show", "--no-patch", "--format=%B", "template-update", cwd=tmp_path / "origin.git").stdout
    assert message.startswith("Update from the template\n\n`make check` passed on this branch.\n")
    assert "    changed         README.md" in message
    if ci == "github":
        assert (tmp_path / "text").read_text().strip() == message.split("\n", 1)[1].strip()
