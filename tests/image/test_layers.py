"""What a change costs: the steps that a build runs again, and the layers that it makes anew."""

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
from build.lock import LAYERS, layer_of

from scripts import reproduce
from tests.helpers.engine import Build, Engine
from tests.helpers.project import Bake, Project, Run, add_dependency, baked, relock, run
from tests.lab.engine import LAB, digests, layers

SMALL = 50_000  # bytes of files in the new layers that a commit to the code may make
# The files of a dependency that nobody has imported before: small, and nothing else needs it.
NEWCOMER = "humanize"


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
    add_dependency(project, f"{NEWCOMER}>=4")
    relock(project)


def import_it(project: Project) -> None:
    add_one_dependency(project)
    project.append(f"src/{project.package}/app.py", f"\nimport {NEWCOMER} as {NEWCOMER}\n")


def add_debian_package(project: Project) -> None:
    project.write("docker/apt-runtime.txt", "file\n")


# The change, the stages that run again, and the bytes of new layers that it may make.
Change = Callable[[Project], None]
ALL_BYTECODE = {"bytecode-python", "bytecode-rest", *(f"bytecode-{layer}" for layer in LAYERS)}
TRIED_OUT = {"modules", "imports", "bytecode-rest"}
NEWCOMERS = {f"packages-{layer_of(NEWCOMER)}", f"bytecode-{layer_of(NEWCOMER)}"}
# Other tests build stages anew (--no-cache-filter); a build with the same steps at the same time takes part in that.
ALONE = ("--build-arg", "MIRROR_TIMEOUT=59")
CHANGES: list[tuple[Change, set[str], int | None]] = [
    (change_nothing, set(), 0),
    (change_code, {"app"}, SMALL),
    (import_another_name, {"app", "modules", "bytecode-rest"}, SMALL),
    (import_another_module, {"app", *TRIED_OUT, "bytecode-python"}, None),
    # The README and the requirements are part of the metadata.
    (bump_version, {"lock", "app"}, SMALL + 10_000),
    (add_dev_dependency, {"lock", "app"}, 0),
    (add_one_dependency, {"lock", "app", *NEWCOMERS, *TRIED_OUT}, None),
    (import_it, {"lock", "app", *NEWCOMERS, *TRIED_OUT}, None),
    (add_debian_package, {"base", "compiler", "app", *TRIED_OUT, *ALL_BYTECODE}, None),
]


@pytest.fixture(scope="module")
def before(cookies_session: Any, engine: Engine) -> tuple[Project, str]:
    """Return a project and its image, whose steps no earlier build has left in the cache."""
    project = baked(cookies_session, {"project_slug": f"layers-{uuid.uuid4().hex[:8]}"})
    project.append("docker/import-also.txt", f"# {project.answers['project_slug']}\n")
    return project, engine.build(project, *ALONE)[0]


@pytest.mark.parametrize(("change", "run_again", "limit"), CHANGES, ids=[row[0].__name__ for row in CHANGES])
def test_a_change_costs_no_more_than_it_must(
    before: tuple[Project, str],
    engine: Engine,
    tmp_path: Path,
    change: Change,
    run_again: set[str],
    limit: int | None,
) -> None:
    original, old = before
    project = Project(shutil.copytree(original.path, tmp_path / "project", symlinks=True), original.answers)
    change(project)
    new, build = engine.build(project, *ALONE)

    # No stage but these; an earlier build may have left the result of one of them in the cache.
    assert steps_run(build) <= run_again
    if limit is not None:
        assert sum(layer.unpacked for layer in layers(new, beside=old)) <= limit


def test_a_bump_of_a_dependency_moves_its_own_layers(bake: Bake, engine: Engine) -> None:
    """Of a service with heavy dependencies, one small package changes."""
    project = bake()
    for requirement in ("pandas>=3", "sqlalchemy>=2", f"{NEWCOMER}==4.14.0"):
        add_dependency(project, requirement)
    relock(project)
    modules = ("pandas", "sqlalchemy.orm", NEWCOMER)
    project.append(f"src/{project.package}/app.py", "".join(f"\nimport {module}\n" for module in modules))
    old, _ = engine.build(project)
    project.replace("pyproject.toml", f"{NEWCOMER}==4.14.0", f"{NEWCOMER}==4.15.0")
    relock(project)
    new, _ = engine.build(project)
    # What it takes from the registry: the package's layer, that of its bytecode, and the project's metadata.
    moved = layers(new, beside=old)
    # The package, its bytecode, the list of packages in the metadata; and what is compiled last, if a line has moved.
    assert 3 <= len(moved) <= 4
    everything = layers(new)
    assert len(everything) == len(digests(old))
    assert sum(layer.packed for layer in moved) < 5_000_000 < sum(layer.packed for layer in everything) / 10


def test_no_file_is_in_two_layers(build: Build, tmp_path: Path) -> None:
    """Docker's classic store may leave out what the layer below has as well, and then the digests are others."""
    _, image = build()
    found: Counter[str] = Counter()
    for layer in reproduce.layers(image, tmp_path):
        of_app = {name: facts["type"] for name, facts in reproduce.files([layer]).items() if name.startswith("/app")}
        files = [name for name, kind in of_app.items() if kind != tarfile.DIRTYPE]
        assert files or not of_app, "a layer with folders only"
        found.update(files)
    assert {"/app/.venv/bin/python", "/app/.venv/pyvenv.cfg"} < found.keys()
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
    """The second one has another clock, umask and folder."""
    first = bake()
    second = Project(shutil.copytree(first.path, tmp_path / "elsewhere"), first.answers)
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
    assert len(found[0]) > 2 * len(LAYERS)
