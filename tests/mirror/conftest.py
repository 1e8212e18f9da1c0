"""A mirror that misbehaves: real pip, uv, Poetry, apt and BuildKit are run against it, nothing is mocked."""

import contextlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.machine import lab, unavailable
from tests.helpers.mirror import HOST, PACKAGE, Tool
from tests.helpers.project import Bake
from tests.lab.unruly import GOOD, Unruly, authority, certificate, unruly


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not lab():
        unavailable("the unruly mirror stands in front of the lab's mirror, and the lab is not in use")
    return tmp_path_factory.mktemp("unruly")


def run_unruly(folder: Path, ca: Path, key: Path) -> contextlib.AbstractContextManager[Unruly]:
    names = [f"DNS:{HOST}", "DNS:unruly.test"]
    return unruly(lab()["LAB_MIRROR_IP"], "0.0.0.0", HOST, certificate(folder, ca, key, names))


@pytest.fixture(scope="session")
def known_mirror(folder: Path) -> Iterator[Unruly]:
    ca = Path(lab()["LAB_CA"])
    with run_unruly(folder, ca, ca.with_name("ca.key")) as mirror:
        yield mirror


@pytest.fixture
def mirror(known_mirror: Unruly) -> Unruly:
    """A mirror with a certificate that the base images trust; well-behaved until told otherwise."""
    known_mirror.behave = GOOD
    known_mirror.requests.clear()
    return known_mirror


@pytest.fixture(scope="session")
def private(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Unruly, Path]]:
    """A mirror with a certificate that nothing trusts, and the file of the authority that signed it."""
    ca, key = authority(folder)
    with run_unruly(tmp_path_factory.mktemp("private"), ca, key) as mirror:
        yield mirror, ca


@pytest.fixture(scope="session")
def plain(folder: Path) -> Iterator[Unruly]:  # noqa: ARG001 - skips without the lab
    """A mirror without https."""
    with unruly(lab()["LAB_MIRROR_IP"], "127.0.0.1", HOST) as mirror:
        yield mirror


@pytest.fixture
def tool(bake: Bake, tmp_path: Path) -> Callable[[str], Tool]:
    def tool(name: str) -> Tool:
        project = bake(service_type="worker")
        locked = {package["name"]: package for package in tomllib.loads(project.read("poetry.lock"))["package"]}
        hashes = " ".join(f"--hash={file['hash']}" for file in locked[PACKAGE]["files"])
        (tmp_path / "requirements.txt").write_text(f"{PACKAGE}=={locked[PACKAGE]['version']} {hashes}\n")
        return Tool(name, project, tmp_path)

    return tool
