"""Fixtures: the lab's registry."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass

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

    def digests(self, repository: str) -> dict[str, str]:
        """Return the tags of a repository with the digest of each; none when there is no such repository."""
        base = f"http://{self.address}/v2/{repository}"
        try:
            with urllib.request.urlopen(f"{base}/tags/list") as answer:
                tags = json.load(answer)["tags"] or []
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise
        found = {}
        for tag in tags:
            request = urllib.request.Request(f"{base}/manifests/{tag}", headers={"Accept": ", ".join(MANIFESTS)})
            with urllib.request.urlopen(request) as answer:
                found[tag] = answer.headers["Docker-Content-Digest"]
        return found


@pytest.fixture(scope="session")
def registry(engine: Engine) -> Registry:  # noqa: ARG001 - the lab is up then
    """The lab's registry."""
    if not lab():
        unavailable("this test needs the lab's registry")
    return Registry(run(ROOT / "tests/lab/lab", "registry").stdout.strip())
