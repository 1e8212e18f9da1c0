"""What a build makes of dependencies and Debian packages, and how it fails: in plain words."""

import os
import re
from pathlib import Path

import pytest

from tests.helpers.engine import PYTHON, Engine
from tests.helpers.project import Bake, Project, add_dependency, relock

RECORD = Path(__file__).with_name("probes") / "record.py"


def fails(engine: Engine, project: Project, *words: str, options: tuple[str, ...] = ()) -> None:
    """Build an image, which must fail with one line that holds all `words`."""
    _, done = engine.build(project, *options, check=False)
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if all(word in line for word in words)], done.stderr[-3000:]


def test_missing_lock_fails_in_plain_words(bake: Bake, engine: Engine) -> None:
    project = bake()
    (project.path / "poetry.lock").unlink()
    fails(engine, project, "poetry.lock is missing", "make lock")


def test_stale_lock_fails_in_plain_words(bake: Bake, engine: Engine) -> None:
    project = bake()
    add_dependency(project, "six>=1")
    fails(engine, project, "poetry.lock does not fit pyproject.toml", "make lock")


def without_wheel(bake: Bake, build_image: str = "full") -> Project:
    """Return a project that depends on a package that is published as a source archive only."""
    project = bake(build_image=build_image, project_slug=f"without-wheel-{build_image}", service_type="worker")
    add_dependency(project, "docopt==0.6.2")
    relock(project)
    return project


def test_package_without_a_wheel(bake: Bake, engine: Engine) -> None:
    fails(engine, without_wheel(bake, "slim"), "docopt", "no wheel", "build_image=full")
    image, _ = engine.build(without_wheel(bake))
    engine.docker("run", "--rm", image, "docopt")


def test_full_image_of_another_release_is_refused(bake: Bake, engine: Engine, tmp_path: Path) -> None:
    """An old one may lie on a machine, or come out of a registry that has not got both yet."""
    registry = f"template-test/registry-{os.getpid()}"
    slim = f"python:3.14-slim-{engine.suites['3.14']}"
    full = slim.replace("slim-", "")
    engine.images += [f"{registry}/{slim}", f"{registry}/{full}"]
    engine.docker("tag", slim, f"{registry}/{slim}")
    old = "RUN printf '#!/bin/sh\\necho Python 3.14.0rc1' >/usr/local/bin/other && chmod +x /usr/local/bin/other"
    (tmp_path / "Dockerfile").write_text(f"FROM {slim}\n{old} && ln -sf other /usr/local/bin/python\n")
    engine.docker("build", "--quiet", "--tag", f"{registry}/{full}", tmp_path)
    options = ("--build-arg", f"REGISTRY={registry}", "--target", "builder")
    fails(engine, without_wheel(bake), "the full image has Python 3.14.0rc1, the slim one Python 3.14", options=options)


def test_packages_come_without_their_own_tests(bake: Bake, engine: Engine) -> None:
    project = bake(service_type="worker")
    add_dependency(project, "greenlet>=3")  # small, and ships its tests
    relock(project)
    image, _ = engine.build(project)
    done = engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", RECORD.read_text())
    *files, complete = done.stdout.split()
    assert complete == "True"
    assert "greenlet/__init__.py" in files
    assert not [file for file in files if "/tests/" in file]
    found = ("run", "--rm", "--entrypoint", "find", image, "/app/.venv", "-name", "test_greenlet.py")
    assert engine.docker(*found).stdout == ""


def test_unknown_debian_package_fails_in_plain_words(bake: Bake, engine: Engine) -> None:
    for name in ("apt-build.txt", "apt-runtime.txt"):
        project = without_wheel(bake)
        project.write(f"docker/{name}", "no-such-package\n")
        fails(engine, project, "no-such-package", "correct docker/apt-build.txt or docker/apt-runtime.txt")


def test_debian_packages_reach_the_stage_that_they_are_for(bake: Bake, engine: Engine) -> None:
    project = without_wheel(bake)
    project.write("docker/apt-build.txt", "tree  # a comment\n")
    project.write("docker/apt-runtime.txt", "# a comment\n\nfile\n")
    builder, _ = engine.build(project, "--target", "builder")
    engine.docker("run", "--rm", builder, "tree", "--version")
    image, _ = engine.build(project)
    listed = engine.docker(
        "run", "--rm", "--entrypoint", "dpkg-query", image, "-W", "-f", "${Package}\n"
    ).stdout.split()
    assert "file" in listed
    assert "tree" not in listed


def test_empty_lists_run_no_apt(bake: Bake, engine: Engine) -> None:
    _, done = engine.build(bake(), "--no-cache-filter", "base")
    assert "Reading package lists" not in done.stderr


@pytest.mark.quick
def test_a_step_of_the_base_changes_with_the_files_that_it_mounts(bake: Bake) -> None:
    """Buildah looks for a step in its cache by the text alone, which must hold a checksum of those files."""
    project = bake()
    assert {"settings"} == set(re.findall(r"AS base\n(?:.*\n)*?RUN .*from=(\w+)", project.read("Dockerfile")))
    seen = set()
    for file in ("README.md", "docker/apt-runtime.txt", "docker/debian.sources", "tools/build/base.py"):
        project.append(file, "\n# changed\n")
        seen.update(re.findall(r" --build-arg SETTINGS=(\S+) ", project.make("image", "DOCKER=echo").stdout))
    assert len(seen) == 4
