"""What the pipelines call, in which order, and what a red step stops: with a `make` that only writes down its calls."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

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
BUILD = ["image", "check-image", "sbom"]
PUSH = ["push", "sbom"]
IMAGE = "registry.invalid/team/example-service"  # of GitLab's projects
CIS = ("github", "gitlab")
WORKFLOWS = ".github/workflows"


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
        # One that touches no lock.
        commit(project.path, f"https://{ci}.com/Team/Example-Service.git")
    return found


def status(ci: str, machine: Machine, project: Project, event: Event, image: str = IMAGE) -> int:
    """Run the pipeline and return its exit status."""
    if ci == "github":
        pipeline: Pipeline | None = run_github(machine, project.path, event, "--workflows", f"{WORKFLOWS}/ci.yml")
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
        attested = [call for call in calls if call[0] == "attest"]
        assert targets == [*CHECKS, *BUILD, *PUSH, *("attest" for _ in attested)]
        image = IMAGE if ci == "gitlab" else "ghcr.io/team/example-service"
        # The SBOM is of what was pushed, which is not what was built when a release names what main has pushed.
        push, sbom = calls[len(CHECKS + BUILD) :][:2]
        assert push == ["push", image, event.name]
        assert sbom[:2] == ["sbom", f"{image}@sha256:0"]
        signed = [f"attest {image}@sha256:0 {what} push=true record=false" for what in ("provenance", "sbom.cdx.json")]
        assert [" ".join(call) for call in attested] == (signed if ci == "github" else [])


@pytest.mark.quick
def test_a_private_repository_signs_if_it_can(projects: dict[str, Project], machine: Machine) -> None:
    """GitHub signs for private repositories on some of its plans only."""
    machine = Machine(machine.folder, {**machine.env, "PRIVATE": "1"})
    assert status("github", machine, projects["github"], MAIN) == 0
    assert [call[0] for call in called(machine)] == [*CHECKS, *BUILD, *PUSH]
    workflow = f"{WORKFLOWS}/ci.yml"
    done = run_github(machine, projects["github"].path, MAIN, "--workflows", workflow, "--var", "ATTEST=1")
    assert done.status == 0, done.log
    assert [call[0] for call in called(machine)][-4:] == [*PUSH, "attest", "attest"]


@pytest.mark.quick
def test_attestations_are_asked_for_as_documented(projects: dict[str, Project]) -> None:
    """Of the action's inputs, and with the permissions that it needs and no others."""
    documented = yaml.safe_load((HERE / "actions/attest/action.yml").read_text(encoding="utf-8"))["inputs"].keys()
    jobs = yaml.safe_load(projects["github"].read(f"{WORKFLOWS}/ci.yml"))["jobs"]
    assert jobs["attest"]["permissions"] == dict.fromkeys(["attestations", "id-token", "packages"], "write")
    steps = [step["with"] for step in jobs["attest"]["steps"] if step["uses"].startswith("actions/attest@")]
    assert len(steps) == 2
    for given in steps:
        assert given.keys() <= documented
        assert given.keys() >= {"subject-name", "subject-digest", "push-to-registry"}
    assert [given.get("sbom-path") for given in steps] == [None, "sbom.cdx.json"]
    # Who builds and runs other people's code gets none of these rights.
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["attest"]


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
def test_the_lock_is_looked_up_on_a_schedule(ci: str, projects: dict[str, Project], machine: Machine) -> None:
    """What is found turns the pipeline red. (The other thing on a schedule is in test_schedule.py.)"""

    def look_up(machine: Machine) -> int:
        if ci == "github":
            options = ("--workflows", f"{WORKFLOWS}/audit.yml")
            return run_github(machine, projects[ci].path, SCHEDULE, *options).status
        pipeline = run_gitlab(machine, projects[ci].path, SCHEDULE, IMAGE, "audit")
        assert pipeline
        return pipeline.status

    assert look_up(machine) == 0
    assert called(machine) == [["audit"]]
    assert look_up(Machine(machine.folder, {**machine.env, "PIPELINE_RED": "audit"})) != 0


@pytest.mark.quick
def test_a_change_of_the_lock_is_looked_up_on_github(projects: dict[str, Project]) -> None:
    on = yaml.safe_load(projects["github"].read(f"{WORKFLOWS}/audit.yml"))[True]
    wanted = {"paths": ["poetry.lock", "pyproject.toml"]}
    assert (on["push"], on["pull_request"]) == ({"branches": ["main"], **wanted}, wanted)


@pytest.mark.quick
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_change_of_the_lock_is_looked_up_on_gitlab(event: Event, cookies_session: Any, machine: Machine) -> None:
    """What is found stops no push and no merge; a tag is not asked at all."""
    project = baked(cookies_session, {"ci": "gitlab", "python_version": "3.13"})
    commit(project.path, "https://gitlab.com/Team/Example-Service.git")
    machine = Machine(machine.folder, {**machine.env, "PIPELINE_RED": "audit"})
    expected = [*CHECKS, *BUILD, *([] if event is REQUEST else PUSH)]
    assert status("gitlab", machine, project, event) == 0
    assert [call[0] for call in called(machine)] == expected + ([] if event.tag else ["audit"])


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
