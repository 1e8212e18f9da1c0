"""Images for arm64, built and judged under emulation, and for two platforms: `make arm64`, since it takes minutes."""

import re
from collections.abc import Iterator

import pytest

from tests.ci.conftest import MANIFESTS, Registry
from tests.helpers.combinations import CHOICES
from tests.helpers.contract import judge, table
from tests.helpers.engine import Engine
from tests.helpers.machine import index_environment, lab, unavailable
from tests.helpers.project import Bake, Project, Run, run
from tests.lab.engine import LAB, host, network

pytestmark = pytest.mark.arm64
VERSION = CHOICES["python_version"][0]
BOTH = "linux/amd64,linux/arm64"
SLOW = "10"  # times, as in the README of a project


@pytest.fixture
def arm64(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The lab's engine for arm64, as the one that `docker` and `make` use."""
    if not lab():
        unavailable("this test needs the lab, which emulates arm64")
    monkeypatch.setenv("DOCKER_HOST", host("arm64", VERSION))
    found = Engine(engine.suites)
    yield found
    found.clean()


@pytest.fixture
def registry(arm64: Engine) -> Registry:  # noqa: ARG001 - the lab has put the base image there
    """The lab's registry."""
    return Registry(run(LAB, "registry").stdout.strip())


def make(project: Project, engine: Engine, registry: Registry, platform: str, *targets: str) -> tuple[Run, list[str]]:
    """Run `make` for a project's image, of one platform or of several, and return the names of the images, too."""
    image = f"{registry.address}/arm64/{project.answers['project_slug']}"
    parts = platform.replace("/", "-").split(",")
    images = [f"{image}:{part}" for part in parts] if len(parts) > 1 else [image]
    engine.images += [*images, *(f"{image}:main-{part}" for part in parts)]  # the latter by `make push`
    base = f"{registry.address}/platforms"
    settings = {"REGISTRY": base, "DEBIAN_SUITE": engine.suites[VERSION], "BUILD_FLAGS": " ".join(network())}
    env = {**settings, **index_environment(), "TAGS": "main", "PLATFORM": platform, "IMAGE": image}
    return project.make(*targets, env=env), images


def test_holds(bake: Bake, arm64: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bake(service_type="fastapi", project_slug="arm64-fastapi")
    _, (image,) = make(project, arm64, registry, "linux/arm64", "image")
    assert arm64.inspect(image, ".Architecture") == "arm64"
    monkeypatch.setenv("SLOW", SLOW)
    done = judge(project, image)
    rows = table(done)
    assert done.returncode == 0, done.stdout
    assert rows["start: healthy in time, hardened as in production"].seen.endswith("; memory not judged: emulated")


def test_two_platforms(bake: Bake, arm64: Engine, registry: Registry) -> None:
    """As the project's README says: built and judged one after the other, pushed as one."""
    project = bake(service_type="worker", project_slug="arm64-worker")
    targets = ("image", "check-image", "push", f"SLOW={SLOW}")
    done, images = make(project, arm64, registry, BOTH, *targets)
    assert len(re.findall(r": \d+ of \d+ points hold", done.stdout)) == 2
    assert [arm64.inspect(name, ".Architecture") for name in images] == ["amd64", "arm64"]
    for name, machine in zip(images, ("x86_64", "aarch64"), strict=True):
        files = arm64.docker("run", "--rm", "--entrypoint", "find", name, "/app/.venv", "-name", "*.so").stdout
        assert set(re.findall(r"x86_64|aarch64", files)) == {machine}

    # The digest of the base image is that of all its platforms.
    (base,) = {arm64.inspect(name, ".Config.Labels")["org.opencontainers.image.base.digest"] for name in images}
    assert base == registry.digests("platforms/python")[f"{VERSION}-slim-{arm64.suites[VERSION]}"]

    # Most layers are the same: those of packages without compiled code, and the project's.
    same = [
        one == other for one, other in zip(*(arm64.inspect(name, ".RootFS.Layers") for name in images), strict=True)
    ]
    assert sum(same) > len(same) / 2
    assert same[-1]

    joined, _ = registry.get("arm64/arm64-worker/manifests/main", ", ".join(MANIFESTS))
    assert [part["platform"]["architecture"] for part in joined["manifests"]] == ["amd64", "arm64"]
