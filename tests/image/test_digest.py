"""`make image` builds on the very image that the registry has; one that does not answer holds nobody up."""

from pathlib import Path

import pytest

from tests.helpers.project import Bake

DIGEST = "sha256:" + 64 * "0"
ANSWER = f"""echo '{{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "{DIGEST}"}}'"""
# Asks the registry, which answers in its own way; then builds, and prints with what.
DOCKER = """#!/bin/sh
case "$*" in
  *imagetools*python:3.14-slim-trixie) {answer} ;;
  *) printf '%s\\n' "$@" ;;
esac
"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    {
        ANSWER: DIGEST,
        "echo denied; exit 1": "",
        "echo denied": "",
        f"sleep 60; {ANSWER}": "",
    }.items(),
    ids=["answers", "refuses", "makes no sense", "is silent"],
)
def test_digest_of_the_base_image(bake: Bake, tmp_path: Path, answer: str, expected: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(answer=answer))
    docker.chmod(0o755)
    printed = bake(python_version="3.14").make("image", f"DOCKER={docker}").stdout.splitlines()
    assert f"BASE_DIGEST={expected}" in printed
