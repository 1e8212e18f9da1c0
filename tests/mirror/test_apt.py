"""The mirror switch with apt, in a base image."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.engine import Engine
from tests.helpers.mirror import HOST, in_base_image, lines
from tests.helpers.project import Bake, Project, Run
from tests.lab.unruly import GOOD, Behaviour, Unruly, refusing

DEB = "tree_*.deb"
# How the archive fails, and what apt says of it.
FAULTS = {
    "refused": (GOOD, "Connection refused"),
    "hangs": (Behaviour(hang=True), "Connection (failed|timed out)"),
    "login page": (Behaviour(login=True), "NOSPLIT|isn't valid|not signed"),
    "stale pool": (Behaviour(missing=DEB), "404"),
    "expired": (GOOD, "expired|not valid"),
    "bad signature": (Behaviour(forged=True), "manipulated|signature|is not signed"),
    "altered package": (Behaviour(garbled=DEB), "[Hh]ash|size"),
}


@pytest.fixture
def project(bake: Bake) -> Project:
    project = bake()
    project.write("docker/list.txt", "# comment\ntree  # and another\n")
    return project


@pytest.fixture
def version(engine: Engine) -> str:
    return "3.13" if "3.13" in engine.suites else next(iter(engine.suites))


@pytest.fixture
def apt(project: Project, engine: Engine, version: str) -> Callable[..., Run]:
    """Return a function that installs `tree` in a base image, then says so."""

    def apt(url: str, *options: str, **env: str) -> Run:
        env["DEBIAN_MIRROR"] = url
        return in_base_image(engine, project, version, "apt", "/project/docker/list.txt", options=options, **env)

    return apt


@pytest.mark.parametrize("case", FAULTS)
def test_apt_falls_back(apt: Callable[..., Run], project: Project, mirror: Unruly, case: str) -> None:
    mirror.behave, why = FAULTS[case]
    url = f"{refusing(HOST)}/debian" if case == "refused" else mirror.debian
    if case == "expired":
        # What the archive's own end date does, which in a frozen copy of it may have passed for upstream, too.
        project.append("docker/debian.sources", "Check-Valid-Until: yes\nValid-Until-Max: 1\n")
    done = apt(url)
    assert len(lines(done, f"{url} failed: its message is above; trying again on upstream")) == 1, done.stderr
    assert done.returncode == 0, done.stderr
    before, upstream = done.stderr.split("trying again on upstream")
    assert re.search(why, before)
    assert "Setting up tree" in upstream
    assert "Setting up tree" not in before
    assert f"{url} " not in upstream


@pytest.mark.parametrize("case", ["refused", "bad signature"])
def test_apt_without_fallback(apt: Callable[..., Run], mirror: Unruly, case: str) -> None:
    mirror.behave, why = FAULTS[case]
    url = f"{refusing(HOST)}/debian" if case == "refused" else mirror.debian
    done = apt(url, MIRROR_FALLBACK="0", MIRROR_TIMEOUT="5")
    assert done.returncode == 1
    assert re.search(why, done.stderr)
    assert lines(done, f"{url} failed", "giving up")
    assert lines(done, "DEBIAN_MIRROR", "make doctor")
    assert "Setting up tree" not in done.stderr


def test_apt_takes_main_from_the_mirror_and_security_never(apt: Callable[..., Run], mirror: Unruly) -> None:
    done = apt(mirror.debian, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stderr
    assert "Setting up tree" in done.stderr
    assert any("/pool/main/t/tree/" in path for path in mirror.requests)
    assert not [path for path in mirror.requests if "security" in path]
    assert re.search(r"(?m)^(?:Get|Hit):\d+ (?!https://localhost)\S+ \w+-security InRelease", done.stderr)


def test_security_suite_that_cannot_be_reached_stops_the_build_unless_that_is_allowed(
    apt: Callable[..., Run], mirror: Unruly, tmp_path: Path
) -> None:
    """Blocking one host would give old packages otherwise."""
    own = tmp_path / "debian.sources"
    own.write_text(f"Types: deb\nURIs: {refusing(HOST)}/security\nSuites: trixie-security\nComponents: main\n")
    blocked = ("--volume", f"{own}:/etc/apt/sources.list.d/debian.sources:ro")
    done = apt(mirror.debian, *blocked, MIRROR_FALLBACK="0")
    assert done.returncode == 1
    assert "Setting up tree" not in done.stderr
    assert lines(done, "DEBIAN_SECURITY=optional")
    done = apt(mirror.debian, *blocked, MIRROR_FALLBACK="0", DEBIAN_SECURITY="optional")
    assert done.returncode == 0, done.stderr
    assert lines(done, "security suite can't be reached")
    assert "Setting up tree" in done.stderr
    done = apt(mirror.debian, *blocked, DEBIAN_SECURITY="no")
    assert done.returncode == 2
    assert lines(done, "DEBIAN_SECURITY is 'no'; allowed: required or optional")


def test_apt_refuses_unchecked_sources(apt: Callable[..., Run], project: Project, mirror: Unruly) -> None:
    project.append("docker/debian.sources", "Trusted: yes\n")
    done = apt(mirror.debian)
    assert done.returncode == 2
    assert lines(done, "Trusted: yes", "signature checks")
    assert not mirror.requests
