"""What keeps a project in order beside its pipeline: bots, hooks, owners, the form of a request."""

import json
import re

import pytest
import yaml

from tests.helpers.project import Bake, Project

pytestmark = pytest.mark.quick


@pytest.fixture
def project(bake: Bake) -> Project:
    return bake()


def targets(project: Project) -> set[str]:
    """Return the commands that `make` lists."""
    return set(re.findall(r"^  make ([a-z-]+) ", project.make("help").stdout, re.MULTILINE))


def test_hooks_are_commands_of_the_project(project: Project) -> None:
    config = yaml.safe_load(project.read(".pre-commit-config.yaml"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"].removeprefix("make ") for hook in hooks} <= targets(project)


@pytest.mark.parametrize(
    ("ci", "form"),
    [("github", ".github/pull_request_template.md"), ("gitlab", ".gitlab/merge_request_templates/Default.md")],
)
def test_request_asks_for_commands_of_the_project(ci: str, form: str, bake: Bake) -> None:
    project = bake(ci=ci)
    asked = re.findall(r"^- \[ \] `make ([a-z-]+)`$", project.read(form), re.MULTILINE)
    assert len(asked) == 3
    assert set(asked) <= targets(project)


def test_every_owned_place_is_there(project: Project) -> None:
    places = re.findall(r"^/(\S+) +team@example\.com$", project.read("CODEOWNERS"), re.MULTILINE)
    assert len(places) == 5
    assert not [place for place in places if not (project.path / place).is_dir()]


def test_bot_leaves_alone_what_the_template_updates(project: Project) -> None:
    """Its folder, and the Python, which is one answer."""
    renovate = json.loads(project.read("renovate.json"))
    assert renovate["ignorePaths"] == ["tools/**"]
    off = [rule for rule in renovate["packageRules"] if rule.get("enabled") is False]
    assert [name for rule in off for name in rule.get("matchDepNames", [])] == ["python", "docker.io/library/python"]


def test_assistants_are_told_commands_and_places_of_the_project(project: Project) -> None:
    text = project.read("AGENTS.md")
    assert project.read("CLAUDE.md") == "@AGENTS.md\n"
    assert len(text.splitlines()) <= 20
    asked = {name for command in re.findall(r"`make ([a-z -]+)`", text) for name in command.split()}
    assert asked
    assert asked <= targets(project)
    places = re.findall(r"`([\w./-]+/|[\w.-]+\.(?:toml|yaml|lock)|Makefile|Dockerfile)`", text)
    assert len(places) > 8
    assert not [place for place in places if not (project.path / place).exists()]
    # What never to edit is what [tool.cruft] does not skip and CODEOWNERS gives to the template.
    owned = project.read("CODEOWNERS").partition("The template's")[2]
    assert {place.strip("/") for place in re.findall(r"^/(\S+)", owned, re.M)} == {"src/service_runtime", "tools"}
    assert all(f"`{place}/`" in text for place in ("src/service_runtime", "tools"))
