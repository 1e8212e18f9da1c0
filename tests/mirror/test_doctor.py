"""`make doctor`: what it shows, what it calls a problem, and that it needs nothing installed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.engine import Engine
from tests.helpers.mirror import HOST, upstream_host
from tests.helpers.project import Bake, Project, Run
from tests.lab.unruly import GOOD, Behaviour, Unruly, refusing


@pytest.fixture
def project(bake: Bake, engine: Engine) -> Project:
    version = next(iter(engine.suites))
    return bake(python_version=version, service_type="worker")


def doctor(project: Project, engine: Engine, pypi: str, debian: str = "", **env: str) -> Run:
    suite = engine.suites[project.answers["python_version"]]
    settings = {"PYPI_MIRROR": pypi, "DEBIAN_MIRROR": debian, "DEBIAN_SUITE": suite}
    return project.make("doctor", env={**settings, **env}, check=False)


def problems(done: Run) -> list[str]:
    return re.findall(r"^(?:PROBLEM|note): .*$", done.stdout, re.M)


def test_all_is_well(project: Project, engine: Engine, plain: Unruly) -> None:
    plain.behave = GOOD
    project.write("docker/apt-runtime.txt", "tree\n")
    done = doctor(project, engine, plain.pypi, plain.debian)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (project.path / ".tools").exists()
    assert f"{plain.pypi} (from PYPI_MIRROR), upstream when it fails" in done.stdout
    assert f"{plain.debian} (from DEBIAN_MIRROR), upstream when it fails" in done.stdout
    assert re.search(r"^  engine +docker  \d", done.stdout, re.M)
    base = rf"docker\.io/library/python:{project.answers['python_version']}-slim-\S+"
    assert re.search(rf"^  base image +{base}  is here", done.stdout, re.M)
    # The mirrors and upstream, each by a real page.
    timed = re.findall(r"^ +[\d.]+ s  (\S+)$", done.stdout, re.M)
    assert [timed[0], timed[2].partition("/dists/")[0]] == [f"{plain.pypi}uv/", plain.debian]
    assert upstream_host() in timed[1]
    assert len(timed) == 4
    assert problems(done) == []


def test_settings_of_the_project_count(project: Project, engine: Engine, plain: Unruly) -> None:
    plain.behave = GOOD
    project.write("docker/pip.conf", f"[global]\nindex-url = {plain.pypi}\n")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYPI_MIRROR", "MAKEFLAGS")}
    suite = engine.suites[project.answers["python_version"]]
    environment |= {"MIRROR_FALLBACK": "0", "DEBIAN_MIRROR": "", "DEBIAN_SUITE": suite}
    done = subprocess.run(
        ["make", "doctor"], cwd=project.path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{plain.pypi} (from docker/pip.conf), and nothing else: MIRROR_FALLBACK=0" in done.stdout
    assert upstream_host() not in done.stdout


def test_dead_mirror_is_no_end_while_upstream_answers(project: Project, engine: Engine) -> None:
    dead = f"{refusing(HOST)}/pypi/simple/"
    done = doctor(project, engine, dead)
    assert done.returncode == 0, done.stdout
    assert [
        line
        for line in problems(done)
        if line.startswith("note: PyPI: ") and "refused" in line and "PYPI_MIRROR=" in line
    ]
    done = doctor(project, engine, dead, MIRROR_FALLBACK="0")
    assert done.returncode != 0
    assert [
        line for line in problems(done) if line.startswith("PROBLEM: PyPI: ") and "refused" in line and dead in line
    ]


@pytest.mark.parametrize("behaviour", [Behaviour(stale="uv-0.*"), Behaviour(login=True)], ids=["stale", "login page"])
def test_bad_mirror(project: Project, engine: Engine, plain: Unruly, behaviour: Behaviour) -> None:
    plain.behave = behaviour
    done = doctor(project, engine, plain.pypi, MIRROR_FALLBACK="0")
    assert done.returncode != 0
    said = "the source is stale, or this is a login page"
    assert [line for line in problems(done) if line.startswith("PROBLEM: PyPI: ") and said in line], done.stdout
    assert doctor(project, engine, plain.pypi).returncode == 0


def test_debian_archive_matters_when_packages_are_asked_for(project: Project, engine: Engine) -> None:
    dead = f"{refusing(HOST)}/debian"
    done = doctor(project, engine, "", dead, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stdout
    assert [line for line in problems(done) if line.startswith("note: Debian: ")]
    project.write("docker/apt-build.txt", "tree\n")
    done = doctor(project, engine, "", dead, MIRROR_FALLBACK="0")
    assert done.returncode != 0
    assert [line for line in problems(done) if line.startswith("PROBLEM: Debian: ") and "DEBIAN_MIRROR=" in line]


def test_refused_setting(project: Project, engine: Engine) -> None:
    done = doctor(project, engine, "https://user:canary@mirror.example.com/simple/")
    assert done.returncode != 0
    assert [line for line in problems(done) if "PYPI_MIRROR holds credentials for mirror.example.com" in line]
    assert "canary" not in done.stdout + done.stderr


def test_what_the_build_needs(project: Project, engine: Engine, tmp_path: Path) -> None:
    done = doctor(project, engine, "", DOCKER=str(tmp_path / "docker"))
    assert done.returncode != 0
    assert [line for line in problems(done) if "does not answer" in line and "DOCKER=podman" in line]

    done = doctor(project, engine, "", REGISTRY=f"{HOST}:9/nothing")
    assert done.returncode != 0
    assert [line for line in problems(done) if f"{HOST}:9/nothing/python:" in line and "REGISTRY=" in line]

    (project.path / "poetry.lock").unlink()
    done = doctor(project, engine, "")
    assert done.returncode != 0
    assert [line for line in problems(done) if "poetry.lock" in line and "make lock" in line]
