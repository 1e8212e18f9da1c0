"""What a change costs: the steps that a build runs again, and the layers that it makes anew."""

import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.combinations import CHOICES
from tests.helpers.engine import Engine
from tests.helpers.project import Bake, Project, Run, add_dependency, baked, relock, run
from tests.lab.engine import LAB, layers, layers_in

SMALL = 50_000  # bytes of files in the new layers that a commit to the code may make
DOWNLOADS = {"tools", "deps", "base"}


def steps_run(build: Run) -> set[str]:
    """Return the stages with a RUN step that was not taken from the cache, as BuildKit's plain log tells."""
    names = dict(re.findall(r"^#(\d+) \[([\w-]+) \d+/\d+\] RUN ", build.stderr, re.MULTILINE))
    assert names, build.stderr
    cached = set(re.findall(r"^#(\d+) CACHED", build.stderr, re.MULTILINE))
    return {stage for number, stage in names.items() if number not in cached}


def change_nothing(project: Project) -> None:
    pass


def change_code(project: Project) -> None:
    project.append(f"src/{project.package}/app.py", "\n\ndef added() -> int:\n    return 42\n")


def import_another_name(project: Project) -> None:
    project.append(f"src/{project.package}/app.py", "\nfrom typing import Any as Any\n")


def import_another_module(project: Project) -> None:
    project.append(f"src/{project.package}/app.py", "\nimport sched as sched\n")


def bump_version(project: Project) -> None:
    project.replace("pyproject.toml", '\nversion = "0.1.0"\n', '\nversion = "0.2.0"\n')


def add_dev_dependency(project: Project) -> None:
    project.replace("pyproject.toml", "\ndev = [\n", '\ndev = [\n    "pytest-mock>=3",\n')
    relock(project)


def add_one_dependency(project: Project) -> None:
    add_dependency(project, "humanize>=4")
    relock(project)


def add_debian_package(project: Project) -> None:
    project.write("docker/apt-runtime.txt", "file\n")


# The change, the stages that must not run again, those that must, and the bytes of new layers that it may make.
Change = Callable[[Project], None]
CHANGES: list[tuple[Change, set[str], set[str], int | None]] = [
    (change_nothing, {*DOWNLOADS, "lock", "app", "bytecode"}, set(), 0),
    (change_code, {*DOWNLOADS, "lock", "bytecode"}, {"app"}, SMALL),
    (import_another_name, {*DOWNLOADS, "lock", "bytecode"}, {"app"}, SMALL),
    (import_another_module, {*DOWNLOADS, "lock"}, {"app", "bytecode"}, None),
    # The README is part of the metadata.
    (bump_version, {*DOWNLOADS, "bytecode"}, {"lock", "app"}, SMALL + 10_000),
    (add_dev_dependency, {*DOWNLOADS, "app", "bytecode"}, {"lock"}, 0),
    (add_one_dependency, {"tools", "base"}, {"lock", "deps", "app", "bytecode"}, None),
    (add_debian_package, {"tools", "lock", "deps", "app"}, {"base", "bytecode"}, None),
]


@pytest.fixture(scope="module")
def before(cookies_session: Any, engine: Engine) -> tuple[Project, str]:
    """Return a project and its image, whose steps no earlier build has left in the cache."""
    own = f"layers-{uuid.uuid4().hex[:8]}"
    project = baked(cookies_session, {"project_slug": own})
    project.append("docker/apt-build.txt", f"# {own}\n")
    return project, engine.build(project)[0]


@pytest.mark.parametrize(("change", "kept", "run_again", "limit"), CHANGES, ids=[row[0].__name__ for row in CHANGES])
def test_a_change_costs_no_more_than_it_must(
    before: tuple[Project, str],
    engine: Engine,
    tmp_path: Path,
    change: Change,
    kept: set[str],
    run_again: set[str],
    limit: int | None,
) -> None:
    original, old = before
    project = Project(shutil.copytree(original.path, tmp_path / "project", symlinks=True), original.answers)
    change(project)
    new, build = engine.build(project)

    assert not steps_run(build) & kept
    assert steps_run(build) >= run_again
    known = engine.inspect(old, ".RootFS.Layers")
    added = [layer for layer in engine.inspect(new, ".RootFS.Layers") if layer not in known]
    if limit is not None and added:
        assert sum(layer.unpacked for layer in layers(new) if f"sha256:{layer.digest}" in added) <= limit


def check_out(project: Project, umask: int) -> None:
    """Give the project's files and folders the modes that git gives them under a umask."""
    for path in project.path.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def test_two_builds_of_a_commit_give_the_same_layers(
    bake: Bake, engine: Engine, containerd: dict[str, str], tmp_path: Path
) -> None:
    project = bake()
    suite = engine.suites[project.answers["python_version"]]
    found = []
    for number, umask in enumerate((0o022, 0o077)):
        check_out(project, umask)
        file = tmp_path / f"{number}.tar"
        run(
            *("docker", "build", "--no-cache", *engine.build_flags, "--provenance=false"),
            *("--build-arg", f"DEBIAN_SUITE={suite}", "--build-arg", "SOURCE_DATE_EPOCH=0"),
            *("--output", f"type=docker,dest={file},rewrite-timestamp=true", project.path),
            env=containerd,
        )
        found.append([layer.digest for layer in layers_in(file)])
    assert found[0] == found[1]
    assert len(found[0]) > 4


@pytest.mark.parametrize("ci", [name for name in CHOICES["ci"] if name != "none"])
def test_ci_runs_no_step_again_that_the_registry_has(
    bake: Bake, engine: Engine, containerd: dict[str, str], ci: str
) -> None:
    """The very script of the workflow, on a machine that starts empty, after another one that has run it."""
    project = bake(ci=ci, project_slug=f"{ci}-{uuid.uuid4().hex[:8]}")
    workflow = yaml.safe_load(project.read(".github/workflows/ci.yml" if ci == "github" else ".gitlab-ci.yml"))
    steps = workflow["jobs"]["image"]["steps"] if ci == "github" else workflow["build-image"]["script"]
    (step,) = (step for step in steps if "--cache-to" in str(step))
    # `docker build` passes over the builder that `docker buildx` would use.
    assert "BUILDX_BUILDER" in (step["env"] if ci == "github" else step)
    script = step["run"] if ci == "github" else step

    registry = run(LAB, "registry").stdout.split()[-1]
    # A builder of its own would need BuildKit's image: here the engine's own can write the cache.
    script = re.sub(r"^ *(docker context create|(export )?BUILDX_BUILDER).*\n", "", script, flags=re.MULTILINE)
    script = script.replace("ghcr.io", registry).replace('FLAGS="', f'FLAGS="{" ".join(engine.build_flags)} ')
    env = {
        **containerd,
        "DEBIAN_SUITE": engine.suites[project.answers["python_version"]],
        "GITHUB_REPOSITORY": f"Org/{project.path.name}",
        "CI_REGISTRY": registry,
        "CI_REGISTRY_IMAGE": f"{registry}/org/{project.path.name}",
        "CI_REGISTRY_USER": "someone",
        "CI_REGISTRY_PASSWORD": "anything",
    }
    for change in (change_nothing, change_code):
        change(project)
        run("docker", "builder", "prune", "--all", "--force", env=containerd)
        build = run("bash", "-euo", "pipefail", "-c", script, cwd=project.path, env=env)
        run("docker", "image", "rm", project.path.name, env=containerd)
    assert steps_run(build) == {"app"}
