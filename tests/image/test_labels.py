"""`make image` fills in the labels and the date: from the repository that has the project, without a password."""

import json
import re

import pytest

from tests.helpers.answers import BAIT
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import PYTHON, Engine
from tests.helpers.project import Bake, run

WITH_PASSWORD = "https://user:canary-password@example.com/team/x.git"
ORIGINS = {
    "/srv/git/x.git": "",
    WITH_PASSWORD: "https://example.com/team/x.git",
    "git@example.com:team/x.git": "https://example.com/team/x.git",
    "ssh://git@example.com:2222/team/x.git": "https://example.com/team/x.git",
    "ssh://example.com/team/x.git": "https://example.com/team/x.git",
}
POINT = "labels: true to the project"


def test_make_image_fills_in_the_labels(bake: Bake, engine: Engine) -> None:
    project = bake(project_slug="labelled", license="MIT", description='Costs $5 & is "quoted" \\ here')
    image = "template-test/labelled"
    settings = {"DEBIAN_SUITE": engine.suites["3.14"], "BUILD_FLAGS": " ".join(engine.build_flags)}
    engine.images.append(image)

    def label(name: str) -> str:
        """Return a label of the image, built anew."""
        project.make("image", f"IMAGE={image}", env=settings)
        assert "canary-password" not in engine.docker("image", "inspect", image).stdout
        assert "canary-password" not in engine.docker("history", "--no-trunc", image).stdout
        return str(engine.inspect(image, ".Config.Labels")[f"org.opencontainers.image.{name}"])

    def git(command: str) -> str:
        return run("git", *command.split(), cwd=project.path).stdout.strip()

    def wrong() -> dict[str, str]:
        return red(table(judge(project, image, "-k", "labels:")))

    # In the folder of another project's repository.
    git("init --quiet")
    git("commit --quiet --allow-empty --message=other")
    git("remote add origin https://example.com/team/other.git")
    assert (label("source"), label("revision"), label("created")) == ("", "", "")
    assert wrong() == {}

    git("add --all")
    git("commit --quiet --message=first")
    for origin, source in ORIGINS.items():
        git(f"remote set-url origin {origin}")
        said = project.make("image", "DOCKER=echo", env=settings).stdout  # what it gives to the build
        assert f" --build-arg SOURCE={source} --build-arg VERSION=" in said
        assert "canary-password" not in said
    git(f"remote set-url origin {WITH_PASSWORD}")
    assert label("source") == ORIGINS[WITH_PASSWORD]
    assert label("revision") == git("rev-parse HEAD")
    assert wrong() == {}
    project.append("README.md", "\n")
    assert label("revision") == git("rev-parse HEAD") + "-dirty"
    assert wrong() == {}
    # A further commit makes the image old.
    git("commit --quiet --all --message=second")
    assert wrong().keys() == {POINT}


def test_one_commit_gives_one_image(bake: Bake, engine: Engine) -> None:
    """Whatever the commit is called, whenever it is built; one with edits, too."""
    project = bake(service_type="worker", project_slug="dated", package_name="dated")
    image = "template-test/dated"
    engine.images.append(image)

    def built(*again: str) -> str:
        flags = " ".join([*engine.build_flags, *(f"--no-cache-filter {stage}" for stage in again)])
        settings = {"DEBIAN_SUITE": engine.suites["3.14"], "BUILD_FLAGS": flags, "IMAGE": image}
        project.make("image", env=settings)
        return str(engine.inspect(image, ".Id"))

    def git(*command: str) -> None:
        run("git", *command, cwd=project.path)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=first", "--date=2020-02-02T02:02:02+0900")
    git("tag", "v1.0.0")
    first = built()
    git("checkout", "--quiet", "v1.0.0")
    assert built("base", "packages", "app", "runtime") == first
    project.append("README.md", "An edit.\n")
    dirty = built()
    assert built("app", "runtime") == dirty != first


@pytest.mark.quick
@pytest.mark.parametrize(
    ("lines", "label"),
    [
        ('[project]\nversion = "1.0"\n[tool.other]\nversion = "2.0"\n', "1.0"),
        ('[tool.other]\nversion = "2.0"\n[project]\nname = "x"\nversion  =  \'1.0\' # so far\n', "1.0"),
        ('[project]\ndynamic = ["version"]\n[tool.other]\nversion = "2.0"\n[tool.poetry]\nversion = "3.0"\n', "3.0"),
        ('[project]\ndynamic = ["version"]\n[tool.poetry.requires-plugins]\nversion = "2.0"\n', ""),
    ],
)
def test_make_image_finds_the_version(bake: Bake, lines: str, label: str) -> None:
    project = bake()
    project.write("pyproject.toml", lines)
    printed = project.make("image", "DOCKER=echo").stdout
    assert re.findall(r"VERSION=(.*?) --build-arg REVISION", printed.splitlines()[-1]) == [label]


@pytest.mark.parametrize("answers", range(3))
def test_hostile_answers_read_back_equal(bake: Bake, engine: Engine, answers: int) -> None:
    """From the labels, and from the metadata that the service itself can read."""
    texts = {
        "description": (BAIT["description"], BAIT["project_name"], "주문 $서비스 \\$x \\\\y \"z\" 'a' ${B:-c} %s: #")[
            answers
        ],
        "author_name": (BAIT["author_name"], BAIT["description"], 'Doe, "Jane" \\')[answers],
    }
    project = bake(service_type="worker", project_slug=f"hostile-{answers}", license="MIT", **texts)
    image, _ = engine.build(project)
    labels = engine.inspect(image, ".Config.Labels")
    prefix = "org.opencontainers.image"
    assert [labels[f"{prefix}.{name}"] for name in ("title", "description", "licenses")] == [
        *(f"hostile-{answers}", texts["description"], "MIT")
    ]
    code = f"import importlib.metadata, json; print(json.dumps(importlib.metadata.metadata('hostile-{answers}').json))"
    metadata = json.loads(engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", code).stdout)
    assert (metadata["summary"], metadata["author"]) == (texts["description"], texts["author_name"])
