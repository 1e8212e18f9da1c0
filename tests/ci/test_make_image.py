"""`make image`: what it asks the registry, and what it has the engine build."""

import re
import uuid
from pathlib import Path

import pytest

from tests.ci.conftest import Registry
from tests.helpers.engine import Engine
from tests.helpers.project import Bake

# Shows the arguments of a build in place of it.
DOCKER = """#!/bin/sh
[ "$1" = build ] || exec docker "$@"
echo "BUILD $*" >&2
"""


@pytest.fixture
def stub(tmp_path: Path) -> str:
    """A program in place of `docker`."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    return str(tmp_path / "docker")


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/amd64", "linux/arm64"]], ids=len)
def test_digest_of_the_base_image(
    bake: Bake, engine: Engine, registry: Registry, tmp_path: Path, stub: str, platforms: list[str]
) -> None:
    """Of an image for one platform, and of one for several, as the official ones are."""
    repository = f"base-{uuid.uuid4().hex}/python"
    base = f"{registry.address}/{repository}:3.14-slim-trixie"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    parts = [f"{base}-{number}" for number, _ in enumerate(platforms)]
    for part, platform in zip(parts, platforms, strict=True):
        engine.images.append(part)
        engine.docker("build", "--quiet", "--platform", platform, "--tag", part, tmp_path)
        engine.docker("push", "--quiet", part)
    engine.docker("buildx", "imagetools", "create", "--tag", base, *parts)
    env = {"DOCKER": stub, "REGISTRY": base.partition("/python")[0]}
    done = bake(service_type="worker").make("image", env=env)
    digest = registry.digests(repository)["3.14-slim-trixie"]
    assert f" BASE_DIGEST={digest} " in done.stderr


@pytest.mark.quick
def test_platforms(bake: Bake, stub: str) -> None:
    """One image under its own name; of several, each has the platform in its name."""
    project = bake(service_type="worker")
    env = {"DOCKER": stub, "IMAGE": "team/x", "REGISTRY": "127.0.0.1:9"}

    done = project.make("image", env={**env, "BUILDX_BUILDER": "own"})
    assert "BUILD build --load --tag team/x " in done.stderr  # else only that builder would have it

    def built(platform: str) -> list[str]:
        done = project.make("image", f"PLATFORM={platform}", env=env)
        return re.findall(r"^BUILD build --tag (.*?) --build-arg", done.stderr, re.MULTILINE)

    assert built("") == ["team/x"]
    assert built("linux/arm64") == ["team/x --platform linux/arm64"]
    listed = project.make("--dry-run", "sbom", "PLATFORM=linux/amd64,linux/arm64", env=env).stdout
    assert re.findall(r"sbom.py \S+ (\S+)", listed) == ["sbom-linux-amd64.cdx.json", "sbom-linux-arm64.cdx.json"]
    assert built("linux/amd64,linux/arm/v7") == [
        "team/x:linux-amd64 --platform linux/amd64",
        "team/x:linux-arm-v7 --platform linux/arm/v7",
    ]


@pytest.mark.quick
@pytest.mark.parametrize("answer", ["sleep 600", "exit 125", "echo '{}'"], ids=["silent", "Podman", "strange"])
def test_a_base_image_that_is_not_pinned_is_told(bake: Bake, tmp_path: Path, answer: str) -> None:
    """A registry that does not answer holds nobody up; Podman can't ask it."""
    (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$1" = build ] || {answer}\necho "BUILD $*" >&2\n')
    (tmp_path / "docker").chmod(0o755)
    done = bake(service_type="worker").make("image", env={"DOCKER": str(tmp_path / "docker")})
    assert "The base image is not pinned: " in done.stdout
    assert " --build-arg BASE_DIGEST= " in done.stderr


@pytest.mark.quick
@pytest.mark.parametrize("points", ["", "stop:"], ids=["all points", "some points"])
def test_the_contract_judges_an_id(bake: Bake, tmp_path: Path, points: str) -> None:
    """What gets the image's name while it is judged is neither judged nor marked as checked."""
    project = bake(service_type="worker")
    (tmp_path / "docker").write_text(f"#!/bin/sh\ncat {tmp_path}/id\n")
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "id").write_text("sha256:1\n")
    for name, text in {
        ".tools/bin/python": "",
        ".tools/done": f"{(project.path / '.tools').resolve()}\n",
        # Meanwhile, another image is built under this name.
        ".tools/contract/bin/python": f'#!/bin/sh\necho "JUDGED $*"\necho sha256:2 >{tmp_path}/id\n',
        ".tools/contract/done": "",
    }.items():
        project.write(name, text)
    for name in (".tools/bin/python", ".tools/contract/bin/python"):
        (project.path / name).chmod(0o755)
    project.write(".image-checked", "sha256:0\n")
    env = {"DOCKER": str(tmp_path / "docker"), "IMAGE": "team/x", "POINTS": points}
    done = project.make("check-image", env=env)
    assert f"JUDGED -B -m contract sha256:1 --junitxml=contract.xml -k {points}" in done.stdout
    checked = project.path / ".image-checked"
    assert (checked.read_text() if checked.exists() else "") == ("" if points else "sha256:1\n")
