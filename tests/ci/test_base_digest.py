"""`make image` asks the registry for the digest of the base image, and has the build take that one."""

import uuid
from pathlib import Path

import pytest

from tests.ci.conftest import Registry
from tests.helpers.engine import Engine
from tests.helpers.project import Bake, run

# Passes on what only asks, and shows the rest in place of doing it.
DOCKER = """#!/bin/sh
[ "$1" = build ] || exec docker "$@"
printf '%s\\n' "$@" >&2
"""


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/amd64", "linux/arm64"]], ids=len)
def test_base_digest(bake: Bake, engine: Engine, registry: Registry, tmp_path: Path, platforms: list[str]) -> None:
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
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    env = {"DOCKER": str(tmp_path / "docker"), "REGISTRY": base.partition("/python")[0]}
    done = bake(service_type="worker").make("image", env=env)
    digest = registry.digests(repository)["3.14-slim-trixie"]
    assert f"BASE_DIGEST={digest}" in done.stderr.splitlines()
