"""Fixtures: the lab's registry."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.engine import Engine
from tests.helpers.machine import lab, unavailable
from tests.helpers.project import run

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Registry:
    """A registry that anybody may push to."""

    address: str

    def get(self, path: str, accept: str = "*/*") -> tuple[Any, Message]:
        """Return what the registry says below /v2/, decoded from JSON, and the headers of its answer."""
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer), answer.headers

    def digests(self, repository: str) -> dict[str, str]:
        """Return the tags of a repository with the digest of each; none when there is no such repository."""
        try:
            found = self.get(f"{repository}/tags/list")[0]["tags"] or []
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise
        manifests = {tag: self.get(f"{repository}/manifests/{tag}", ", ".join(MANIFESTS)) for tag in found}
        return {tag: headers["Docker-Content-Digest"] for tag, (_, headers) in manifests.items()}

    def labels(self, repository: str, digest: str) -> dict[str, str]:
        """Return the labels of the image `digest`, or of its first platform."""
        manifest, _ = self.get(f"{repository}/manifests/{digest}", ", ".join(MANIFESTS))
        if "manifests" in manifest:
            return self.labels(repository, manifest["manifests"][0]["digest"])
        config, _ = self.get(f"{repository}/blobs/{manifest['config']['digest']}")
        return dict(config["config"]["Labels"])


@pytest.fixture(scope="session")
def registry(engine: Engine) -> Registry:  # noqa: ARG001 - the lab is up then
    """The lab's registry."""
    if not lab():
        unavailable("this test needs the lab's registry")
    return Registry(run(ROOT / "tests/lab/lab", "registry").stdout.strip())
