"""What a change costs: the steps that a build runs again, and the layers that it makes anew."""

import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.engine import layers, layers_in
from tests.conftest import Bake, Engine, Project, Run, run
from tests.test_image import add_dependency, relock

SMALL = 50_000  # bytes of new layers that a commit may make, as they are pushed and pulled
DOWNLOADS = {"tools", "deps", "runtime"}


def steps_run(build: Run) -> set[str]:
    """Return the stages with a RUN step that was not taken from the cache, as BuildKit's plain log tells."""
    names = dict(re.findall(r"^#(\d+) \[([\w-]+) \d+/\d+\] RUN ", build.stderr, re.MULTILINE))
    assert names, build.stderr
    cached = set(re.findall(r"^#(\d+) CACHED", build.stderr, re.MULTILINE))
    return {stage for number, stage in names.items() if number not in cached}


def replace(project: Project, old: str, new: str) -> None:
    text = project.read("pyproject.toml")
    assert text.count(old) == 1
    project.write("pyproject.toml", text.replace(old, new))


def change_nothing(project: Project) -> None:
    pass


def change_code(project: Project) -> None:
    name = f"src/{project.package}/app.py"
    project.write(name, project.read(name) + "\n\ndef added() -> int:\n    return 42\n")


def bump_version(project: Project) -> None:
    replace(project, '\nversion = "0.1.0"\n', '\nversion = "0.2.0"\n')


def add_dev_dependency(project: Project) -> None:
    replace(project, "\ndev = [\n", '\ndev = [\n    "pytest-mock>=3",\n')
    relock(project)


def add_one_dependency(project: Project) -> None:
    add_dependency(project, "humanize>=4")
    relock(project)


# The change, the stages that must not run again, those that must, and the bytes of new layers that it may make.
Change = Callable[[Project], None]
CHANGES: list[tuple[Change, set[str], set[str], int | None]] = [
    (change_nothing, {*DOWNLOADS, "lock", "app", "bytecode"}, set(), 0),
    (change_code, {*DOWNLOADS, "lock", "bytecode"}, {"app"}, SMALL),
    (bump_version, {*DOWNLOADS, "bytecode"}, {"lock", "app"}, SMALL),
    (add_dev_dependency, {*DOWNLOADS, "bytecode"}, {"lock", "app"}, SMALL),
    # The list of another project with the same packages is the same: deps may come from the cache.
    (add_one_dependency, {"tools", "runtime"}, {"lock", "app"}, None),
]


@pytest.mark.parametrize(("change", "kept", "run_again", "limit"), CHANGES, ids=[row[0].__name__ for row in CHANGES])
def test_a_change_costs_no_more_than_it_must(
    bake: Bake, engine: Engine, change: Change, kept: set[str], run_again: set[str], limit: int | None
) -> None:
    # A name of its own, so that no earlier run of this test has left its steps in the cache.
    project = bake(project_slug=f"layers-{uuid.uuid4().hex[:8]}")
    before, _ = engine.build(project)
    change(project)
    after, build = engine.build(project)

    assert not steps_run(build) & kept
    assert steps_run(build) >= run_again
    known = {layer.digest for layer in layers(before)}
    new = sum(layer.packed for layer in layers(after) if layer.digest not in known)
    assert limit is None or new <= limit


def test_two_builds_of_a_commit_give_the_same_layers(
    bake: Bake, engine: Engine, containerd: dict[str, str], tmp_path: Path
) -> None:
    project = bake()
    suite = engine.suites[project.answers["python_version"]]
    found = []
    for number in range(2):
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
