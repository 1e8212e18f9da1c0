"""The mirror switch with apt, in a base image."""

import re
import sys
from collections.abc import Callable

import pytest

from tests.helpers.engine import Engine
from tests.helpers.mirror import HOST, in_base_image, lines
from tests.helpers.project import Bake, Run, run
from tests.lab.unruly import GOOD, Behaviour, Unruly, refusing

DEB = "tree_*.deb"
DEAD_ARCHIVE = {
    "refused": (GOOD, "Connection refused"),
    "hangs": (Behaviour(hang=True), "no answer in 7 s"),
    "login page": (Behaviour(login=True), "no signed list"),
    "stale pool": (Behaviour(missing=DEB), "404"),
    "expired": (GOOD, "expired|not valid"),
    "bad signature": (Behaviour(forged=True), "manipulated|signature|is not signed"),
    "altered package": (Behaviour(garbled=DEB), "[Hh]ash|size"),
}


@pytest.fixture
def apt(bake: Bake, engine: Engine) -> Callable[..., Run]:
    """Return a function that installs `tree` in a base image, then says so."""
    project = bake()
    project.write("docker/list.txt", "tree\n")
    version = "3.13" if "3.13" in engine.suites else next(iter(engine.suites))

    def apt(url: str, **env: str) -> Run:
        if env.pop("expire", ""):
            text = project.read("docker/debian.sources")
            # What the archive's own end date does, which in a frozen copy of it may have passed for upstream, too.
            project.write("docker/debian.sources", text + "Check-Valid-Until: yes\nValid-Until-Max: 1\n")
        return in_base_image(engine, project, version, "apt", "/project/docker/list.txt", DEBIAN_MIRROR=url, **env)

    return apt


@pytest.mark.parametrize("case", DEAD_ARCHIVE)
def test_apt_falls_back(apt: Callable[..., Run], mirror: Unruly, case: str) -> None:
    mirror.behave, why = DEAD_ARCHIVE[case]
    url = f"{refusing(HOST)}/debian" if case == "refused" else mirror.debian
    done = apt(url, expire="yes" if case == "expired" else "")
    said = lines(done, f"{url} failed (", "trying again on upstream")
    assert len(said) == 1, done.stderr
    assert re.search(why, said[0])
    assert done.returncode == 0, done.stderr
    upstream = done.stderr.partition("trying again on upstream")[2]
    assert "Setting up tree" in upstream
    assert "Setting up tree" not in done.stderr.replace(upstream, "")
    assert f"{url} " not in upstream
    # A dead archive is asked once.
    assert len(mirror.requests) <= 1 or case not in ("refused", "hangs", "login page")


@pytest.mark.parametrize("case", ["refused", "bad signature"])
def test_apt_without_fallback(apt: Callable[..., Run], mirror: Unruly, case: str) -> None:
    mirror.behave, why = DEAD_ARCHIVE[case]
    url = f"{refusing(HOST)}/debian" if case == "refused" else mirror.debian
    done = apt(url, MIRROR_FALLBACK="0")
    assert done.returncode == 1
    assert re.search(why, lines(done, f"{url} failed (", "giving up")[0])
    assert lines(done, "DEBIAN_MIRROR", "make doctor")
    assert "Setting up tree" not in done.stderr


def test_apt_takes_main_from_the_mirror_and_security_never(apt: Callable[..., Run], mirror: Unruly) -> None:
    done = apt(mirror.debian, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stderr
    assert "Setting up tree" in done.stderr
    assert not lines(done)
    assert any("/pool/main/t/tree/" in path for path in mirror.requests)
    assert not [path for path in mirror.requests if "security" in path]
    assert re.search(r"(?m)^(?:Get|Hit):\d+ (?!https://localhost)\S+ \w+-security InRelease", done.stderr)


def test_apt_refuses_unchecked_sources(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    project = bake()
    project.write("docker/list.txt", "tree\n")
    project.write("docker/debian.sources", project.read("docker/debian.sources") + "Trusted: yes\n")
    version = next(iter(engine.suites))
    done = in_base_image(engine, project, version, "apt", "/project/docker/list.txt", DEBIAN_MIRROR=mirror.debian)
    assert done.returncode == 2
    assert lines(done, "Trusted: yes", "signature checks")
    assert not mirror.requests


@pytest.mark.quick
@pytest.mark.parametrize("name", ["docker/missing.txt", "docker"])
def test_list_that_cannot_be_read_is_no_empty_list(bake: Bake, name: str) -> None:
    project = bake()
    done = run(sys.executable, "tools/build/mirror.py", "apt", name, cwd=project.path, check=False)
    assert done.returncode == 2
    assert lines(done, "the list of Debian packages can't be read", name)
