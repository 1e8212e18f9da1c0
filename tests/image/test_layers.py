"""What a change costs: the stages that a build runs again, and the layers that it makes anew; which are equal."""

import json
import os
import re
import shutil
import tarfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image.packages import HEAVY_LAYERS, LIGHT_LAYERS
from scripts import reproduce
from tests.helpers.engine import Build, Engine
from tests.helpers.project import Bake, Project, Run, add_dependency, baked, relock, run
from tests.lab.engine import LAB, digests, layers

# Bytes of files in the layer of the project; packed bytes of what a small dependency moves.
APP, PUSHED = 150_000, 6_000_000
# On top of the base image: base and its (empty) WORKDIR, the packages, the project.
LAYERS = 2 + HEAVY_LAYERS + LIGHT_LAYERS + 1


def stages_run(build: Run) -> set[str]:
    """Return the stages with a RUN step that was not taken from the cache, as BuildKit's plain log tells."""
    names = dict(re.findall(r"^#(\d+) \[([\w-]+) \d+/\d+\] RUN ", build.stderr, re.MULTILINE))
    assert names, build.stderr
    cached = set(re.findall(r"^#(\d+) CACHED", build.stderr, re.MULTILINE))
    return {stage for number, stage in names.items() if number not in cached}


def nothing(project: Project) -> None:
    pass


def a_test(project: Project) -> None:
    project.append("tests/conftest.py", "\n# changed\n")


def code(project: Project) -> None:
    project.append(f"src/{project.package}/app.py", "\n\ndef added() -> int:\n    return 42\n")


def a_new_import(project: Project) -> None:
    project.append(f"src/{project.package}/app.py", "\nimport sched as sched\nimport starlette.testclient as client\n")


def version(project: Project) -> None:
    project.replace("pyproject.toml", '\nversion = "0.1.0"\n', '\nversion = "0.2.0"\n')


def readme(project: Project) -> None:
    project.append("README.md", "\nA typo.\n")


def dev_dependency(project: Project) -> None:
    project.replace("pyproject.toml", "\ndev = [\n", '\ndev = [\n    "pytest-mock>=3",\n')
    relock(project)


def dependency_updated(project: Project) -> None:
    project.replace("pyproject.toml", "humanize==4.14.0", "humanize==4.15.0")
    relock(project)


def dependency_added(project: Project) -> None:
    add_dependency(project, "itsdangerous>=2")
    relock(project)


def debian_package(project: Project) -> None:
    project.write("docker/apt-runtime.txt", "file\n")


# The change, the stages that run again, and the places of the layers that are new: 0 is base, -1 the project.
CHANGES: list[tuple[Callable[[Project], None], set[str], int, set[int]]] = [
    (nothing, set(), 0, set()),
    (a_test, set(), 0, set()),
    (code, {"app"}, 1, {-1}),
    (a_new_import, {"app"}, 1, {-1}),
    (version, {"lock", "app"}, 1, {-1}),
    # It is in the metadata of the project.
    (readme, {"app"}, 1, {-1}),
    (dev_dependency, {"lock", "app"}, 0, set()),
    (dependency_updated, {"lock", "packages", "app"}, 2, {-1}),
    (dependency_added, {"lock", "packages", "app"}, 2, {-1}),
    # The list is in the build context, which the app stage copies.
    (debian_package, {"base", "app"}, 1, {0}),
]
# Other tests build stages anew (--no-cache-filter); a build with the same steps at the same time takes part in that.
ALONE = ("--build-arg", "MIRROR_TIMEOUT=59")


@pytest.fixture(scope="module")
def before(cookies_session: Any, engine: Engine) -> tuple[Project, str]:
    """Return a project with a heavy and a small dependency, and its image."""
    project = baked(cookies_session, {"project_slug": f"layers-{uuid.uuid4().hex[:8]}", "package_name": "layered"})
    for requirement in ("sqlalchemy>=2", "humanize==4.14.0"):
        add_dependency(project, requirement)
    relock(project)
    return project, engine.build(project, *ALONE)[0]


@pytest.mark.parametrize(("change", "run_again", "count", "places"), CHANGES, ids=[row[0].__name__ for row in CHANGES])
def test_what_a_change_costs(
    before: tuple[Project, str],
    engine: Engine,
    tmp_path: Path,
    change: Callable[[Project], None],
    run_again: set[str],
    count: int,
    places: set[int],
) -> None:
    original, old = before
    project = Project(shutil.copytree(original.path, tmp_path / "project", symlinks=True), original.answers)
    change(project)
    new, build = engine.build(project, *ALONE)
    # No stage but these; an earlier run may have left the result of one of them in the cache.
    assert stages_run(build) <= run_again

    base = len(digests(f"python:3.14-slim-{engine.suites['3.14']}"))
    mine, theirs = digests(new)[base:], digests(old)[base:]
    assert len(mine) == len(theirs) == LAYERS
    moved = {number for number in range(LAYERS) if mine[number] != theirs[number]}
    assert len(moved) == count
    assert {place % LAYERS for place in places} <= moved
    fresh = layers(new, beside=old)
    if places == {-1}:
        assert fresh[-1].unpacked <= APP
        assert sum(layer.packed for layer in fresh) <= PUSHED


def test_no_file_is_in_two_layers(build: Build, tmp_path: Path) -> None:
    """Docker's classic store may leave out what the layer below has as well, and then the digests are others."""
    _, image = build()
    found: Counter[str] = Counter()
    for layer in reproduce.layers(image, tmp_path):
        kinds = {name: facts["type"] for name, facts in reproduce.files([layer]).items()}
        found.update(name for name, kind in kinds.items() if kind != tarfile.DIRTYPE and name.startswith("/app"))
    assert {"/app/.venv/bin/python", "/app/.venv/bin/uvicorn", "/app/.venv/pyvenv.cfg"} < found.keys()
    assert [name for name, times in found.items() if times > 1] == []


def made_anew(engine: Engine, project: Project, docker: str, env: dict[str, str]) -> list[str]:
    """Return the digests of the layers that `make image` makes without a cache; it leaves nothing behind."""
    name = f"template-test/{uuid.uuid4().hex[:8]}"
    flags = " ".join(["--no-cache", *engine.build_flags])
    suite = engine.suites[project.answers["python_version"]]
    env = {**env, "DOCKER": docker, "IMAGE": name, "BUILD_FLAGS": flags, "DEBIAN_SUITE": suite}
    project.make("image", env=env)
    found: list[str] = json.loads(run(docker, "inspect", "--format", "{{json .RootFS.Layers}}", name, env=env).stdout)
    run(docker, "image", "rm", name, env=env)
    return found


@pytest.mark.parametrize("store", ["default", "containerd", "podman"])
def test_machines_that_never_met_build_the_same_layers(
    bake: Bake, engine: Engine, containerd: dict[str, str], tmp_path: Path, store: str
) -> None:
    """The second one has another clock, umask and folder; and a cache of bytecode with nothing in it."""
    first = bake(project_slug=f"met-{uuid.uuid4().hex[:8]}", package_name="met")
    second = Project(shutil.copytree(first.path, tmp_path / "elsewhere"), first.answers)
    caches = second.read("Dockerfile")
    assert caches.count(first.answers["project_slug"] + "-bytecode") == 1
    second.write("Dockerfile", re.sub(r"(id=\S+)-(uv|bytecode),", r"\1-other-\2,", caches))
    # Another time in each run: of files with the time and size of before, BuildKit takes the content of before.
    later = time.time() + 300_000_000
    for path in (second.path, *second.path.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (later, later))
    docker = run(LAB, "podman").stdout.split()[-1] if store == "podman" else "docker"
    env = containerd if store == "containerd" else {}
    found = [made_anew(engine, project, docker, env) for project in (first, second)]
    differing = [number for number, (one, other) in enumerate(zip(*found, strict=True)) if one != other]
    # Buildah gives /run the time of each RUN: here, of the one on top of the base image.
    assert differing == ([1] if store == "podman" else [])
    assert len(found[0]) >= LAYERS  # for Buildah, WORKDIR is no layer
