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


def read_by_bot(project: Project, name: str) -> dict[str, str | None]:
    """Return what Renovate's custom manager `name` reads from its file. Python writes a named group with a P."""
    managers = json.loads(project.read("renovate.json"))["customManagers"]
    (manager,) = [manager for manager in managers if manager["depNameTemplate"] == name]
    (file,) = [path for path in project.files() if re.search(manager["managerFilePatterns"][0].strip("/"), str(path))]
    match = re.search(manager["matchStrings"][0].replace("(?<", "(?P<"), project.read(str(file)))
    assert match, file
    return match.groupdict()


def test_bot_finds_the_python_of_the_base_image(project: Project) -> None:
    assert read_by_bot(project, "python") == {"currentValue": "3.14"}


@pytest.mark.parametrize("checkout", [None, "v1.2.0"])
def test_bot_finds_the_version_of_the_template(checkout: str | None, project: Project) -> None:
    """In a file as cruft writes it."""
    commit = "4e1243bd22c66e76c2ba9eddc1f91394e57f9f83"
    state: dict[str, object] = {
        "template": "https://example.com/a/b",
        "commit": commit,
        "checkout": checkout,
        "context": {},
    }
    project.write(".cruft.json", json.dumps(state, indent=2))
    assert read_by_bot(project, "template") == {
        "packageName": "https://example.com/a/b",
        "currentDigest": commit,
        "currentValue": checkout,
    }


def test_bot_finds_every_pin(project: Project) -> None:
    (pattern,) = json.loads(project.read("renovate.json"))["pip_requirements"]["managerFilePatterns"]
    pins = [str(path) for path in project.files() if path.parts[:2] == ("tools", "pins")]
    assert pins
    assert [pin for pin in pins if re.search(pattern.strip("/"), pin)] == pins
