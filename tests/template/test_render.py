"""What is rendered for each combination of answers: complete, valid, and pure."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.combinations import MUST_WORK, ROOT, Answers, identify
from tests.helpers.project import Bake, Project, baked, run

pytestmark = pytest.mark.quick

LOCKS_FIT = Path(__file__).with_name("locks_fit.py")
every_combination = pytest.mark.parametrize("answers", MUST_WORK, ids=identify)


@every_combination
def test_rendered_tree(rendered: Bake, answers: Answers) -> None:
    project = rendered(**answers)
    files = {str(path) for path in project.files()}
    package = f"src/{project.package}"

    def present_only_for(name: str, value: str, *wanted: str) -> None:
        assert {file in files for file in wanted} == {answers[name] == value}, wanted

    present_only_for("ci", "github", ".github/workflows/ci.yml")
    present_only_for("ci", "gitlab", ".gitlab-ci.yml")
    runtime = "src/service_runtime"
    present_only_for("service_type", "fastapi", f"{package}/app.py", f"{runtime}/server.py", "tests/test_app.py")
    present_only_for("service_type", "worker", f"{package}/worker.py", f"{runtime}/loop.py", "tests/test_worker.py")
    present_only_for("build_image", "full", "tools/pins/build-backends.txt")
    present_only_for("mirror", "kakao", "docker/pip.conf", "docker/debian.sources")
    for path in project.files():
        text = project.read(str(path))
        # A variable that was left over; the tools are no template, and one of them imports cookiecutter.
        assert path.is_relative_to("tools") or "cookiecutter." not in text, path
        assert not (answers["mirror"] == "none" and "kakao" in text.lower()), path
        assert text.endswith("\n") or not text, path
        assert not text.endswith("\n\n"), path
        assert "\r" not in text, path
        assert not any(line.endswith((" ", "\t")) for line in text.splitlines()), path
        if path.suffix == ".toml":
            tomllib.loads(text)
        if path.suffix in (".yml", ".yaml"):
            assert list(yaml.safe_load_all(text))


def test_locks_fit(rendered: Bake) -> None:
    run(sys.executable, "-P", LOCKS_FIT, *[rendered(**answers).path for answers in MUST_WORK])


@every_combination
def test_lock_names_no_index(rendered: Bake, answers: Answers) -> None:
    project = rendered(**answers)
    lock = tomllib.loads(project.read("poetry.lock"))
    assert not [package["name"] for package in lock["package"] if "source" in package], "the lock names an index"


@pytest.mark.parametrize(
    ("linter", "pattern"),
    [
        ("hadolint", "Dockerfile"),
        ("check-jsonschema --builtin-schema vendor.compose-spec", "compose.yaml"),
        ("check-jsonschema --builtin-schema vendor.github-workflows", ".github/workflows/*.yml"),
        ("zizmor --offline --quiet", ".github"),
        ("check-jsonschema --builtin-schema vendor.gitlab-ci", ".gitlab/*.yml"),
        ("check-jsonschema --builtin-schema vendor.gitlab-ci", ".gitlab-ci.yml"),
    ],
)
def test_linters_of_images_and_workflows_are_content(rendered: Bake, linter: str, pattern: str) -> None:
    """With the files of all combinations at once."""
    files = [file for answers in MUST_WORK for file in sorted(rendered(**answers).path.glob(pattern))]
    assert files
    run(*linter.split(), *files)


@every_combination
def test_no_step_mounts_the_context(rendered: Bake, answers: Answers) -> None:
    """SELinux denies Podman to read it there, and a list that can't be read may look like an empty one."""
    mounts = re.findall(r"--mount=type=bind\S*", rendered(**answers).read("Dockerfile"))
    assert mounts
    assert [mount for mount in mounts if ",from=" not in mount] == []


@every_combination
def test_what_a_stage_hands_on_lies_in_a_folder(rendered: Bake, answers: Answers) -> None:
    """BuildKit walks through all that lies beside what is copied or mounted: in / this is a whole image."""
    dockerfile = rendered(**answers).read("Dockerfile")
    copied = re.findall(r"COPY --from=\S+ (.+) \S+\n", dockerfile)
    paths = " ".join([*copied, *re.findall(r"--mount=type=bind\S*,source=([^,\s]+)", dockerfile)]).split()
    assert len(paths) > 8
    assert [path for path in paths if path.count("/") < 2] == []


@every_combination
def test_the_dockerfile_is_short(rendered: Bake, answers: Answers) -> None:
    dockerfile = rendered(**answers).read("Dockerfile")
    assert len(dockerfile.splitlines()) <= 110
    assert len(re.findall(r"(?m)^FROM ", dockerfile)) <= 9


@every_combination
def test_git_tracks_every_file(rendered: Bake, tmp_path: Path, answers: Answers) -> None:
    project = rendered(**answers)
    git = ("git", "--git-dir", tmp_path / "git", "--work-tree", project.path)
    run(*git, "init", "--quiet")
    run(*git, "add", "--all", cwd=project.path)
    tracked = run(*git, "ls-files", cwd=project.path).stdout.splitlines()
    # cruft can't merge an update that touches a file that git ignores.
    assert sorted(map(Path, tracked)) == project.files()


def test_rendering_is_pure(cookies: Any) -> None:
    one, other = baked(cookies, {}), baked(cookies, {})
    assert one.path != other.path
    assert contents(one) == contents(other)


def test_long_and_short_names_render_well(bake: Bake) -> None:
    for name in ("a", "x" * 63):
        project = bake(project_slug=name, package_name=name)
        assert f'name = "{name}"' in project.read("pyproject.toml")


def test_names_follow_from_the_project_name(bake: Bake) -> None:
    answers = bake(project_name="My Fine Service 2").answers
    assert (answers["project_slug"], answers["package_name"]) == ("my-fine-service-2", "my_fine_service_2")


def test_every_label_and_workflow_line_is_true_to_the_answers(bake: Bake) -> None:
    project = bake(description='Costs $5 & is "quoted" \\ here', license="MIT")
    dockerfile = project.read("Dockerfile")
    assert r'description="Costs \$5 & is \"quoted\" \\ here"' in dockerfile
    assert 'licenses="MIT"' in dockerfile


def contents(project: Project) -> dict[str, bytes]:
    return {str(path): (project.path / path).read_bytes() for path in project.files()}


def test_an_update_of_the_repository_alone_changes_nothing_rendered(bake: Bake) -> None:
    """The render must not hold the template's commit, place or date."""
    project = bake()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    everything = json.dumps([text.decode(errors="replace") for text in contents(project).values()])
    assert head not in everything
    assert str(ROOT) not in everything
