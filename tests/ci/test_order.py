"""What the pipelines call, in which order, and what a red step stops: with a `make` that only writes down its calls."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.ci.pipelines import (
    EVENTS,
    HERE,
    MAIN,
    REQUEST,
    SCHEDULE,
    Event,
    Machine,
    Pipeline,
    commit,
    run_github,
    run_gitlab,
)
from tests.helpers.project import Project, baked

CHECKS = ["install", "lint", "types", "test"]
BUILD = ["image", "check-image", "audit"]
IMAGE = "registry.invalid/team/example-service"  # of GitLab's projects
CIS = ("github", "gitlab")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    pythons = tmp_path / "pythons/3.13/bin"
    pythons.mkdir(parents=True)
    (pythons / "python3.13").symlink_to("/bin/true")
    env = {
        "PATH": f"{HERE}/standins:{os.environ['PATH']}",
        "PIPELINE_CALLS": str(tmp_path / "calls"),
        "PIPELINE_DOCKER_PLUGINS": "/nowhere",
        "PIPELINE_PYTHONS": str(tmp_path / "pythons"),
    }
    return Machine(tmp_path, env)


def called(machine: Machine) -> list[list[str]]:
    """Return the words of every call of `make`: target, image, tags."""
    path = machine.folder / "calls"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def projects(cookies_session: Any) -> dict[str, Project]:
    """A project for each CI."""
    found = {ci: baked(cookies_session, {"ci": ci, "python_version": "3.13"}) for ci in CIS}
    for ci, project in found.items():
        commit(project.path, f"https://{ci}.com/Team/Example-Service.git")
    return found


def status(ci: str, machine: Machine, project: Project, event: Event, image: str = IMAGE) -> int:
    """Run the pipeline and return its exit status."""
    if ci == "github":
        pipeline: Pipeline | None = run_github(machine, project.path, event)
    else:
        pipeline = run_gitlab(machine, project.path, event, image)
    assert pipeline
    print(pipeline.log)
    return pipeline.status


@pytest.mark.quick
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
@pytest.mark.parametrize("ci", CIS)
def test_all_is_well(ci: str, event: Event, projects: dict[str, Project], machine: Machine) -> None:
    assert status(ci, machine, projects[ci], event) == 0
    calls = called(machine)
    targets = [call[0] for call in calls]
    if event is REQUEST:
        # On GitHub its two jobs run at once, since nothing is pushed.
        assert sorted(targets) == sorted([*CHECKS, *BUILD])
    else:
        assert targets == [*CHECKS, *BUILD, "push"]
        assert calls[-1] == ["push", IMAGE if ci == "gitlab" else "ghcr.io/team/example-service", event.name]


@pytest.mark.quick
@pytest.mark.parametrize("red", [*CHECKS, *BUILD])
@pytest.mark.parametrize("ci", CIS)
def test_a_red_step_stops_all_that_follow(ci: str, red: str, projects: dict[str, Project], machine: Machine) -> None:
    machine = Machine(machine.folder, {**machine.env, "PIPELINE_RED": red})
    assert status(ci, machine, projects[ci], MAIN) != 0
    steps = [*CHECKS, *BUILD]
    assert [call[0] for call in called(machine)] == steps[: steps.index(red) + 1]


@pytest.mark.quick
@pytest.mark.parametrize("ci", CIS)
def test_what_is_deployed_is_looked_up_on_a_schedule(ci: str, projects: dict[str, Project], machine: Machine) -> None:
    """What is found turns the pipeline red. (The other thing on a schedule is in test_schedule.py.)"""
    project = projects[ci].path

    def look_up(machine: Machine) -> int:
        if ci == "github":
            return run_github(machine, project, SCHEDULE, "--workflows", ".github/workflows/audit.yml").status
        pipeline = run_gitlab(machine, project, SCHEDULE, IMAGE, "audit")
        assert pipeline
        return pipeline.status

    image = IMAGE if ci == "gitlab" else "ghcr.io/team/example-service"
    assert look_up(machine) == 0
    assert called(machine) == [["audit", f"{image}:main"]]
    assert look_up(Machine(machine.folder, {**machine.env, "PIPELINE_RED": "audit"})) != 0


@pytest.mark.quick
def test_no_pipeline_for_other_branches_and_tags(projects: dict[str, Project], machine: Machine) -> None:
    project = projects["gitlab"]
    for event in (
        Event("push", "push", "refs/heads/topic", "topic"),
        Event("push", "push", "refs/tags/nightly", "nightly"),
    ):
        assert run_gitlab(machine, project.path, event, IMAGE) is None


@pytest.mark.quick
def test_gitlab_project_without_a_registry(projects: dict[str, Project], machine: Machine) -> None:
    assert status("gitlab", machine, projects["gitlab"], MAIN, image="") == 0
    assert [call[0] for call in called(machine)] == [*CHECKS, *BUILD]
