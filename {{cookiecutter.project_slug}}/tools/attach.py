"""Attach SBOM and provenance to an image in a registry; push.py uses this.

Each becomes an artifact whose `subject` is the image's digest (OCI distribution 1.1), which `oras discover`, for
example, lists. In a registry without the referrers API, the list is an index under the tag sha256-<digest>, as the same
standard says. Nothing is signed: what is attached is as trustworthy as the registry; `make reproduce` proves it.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
PROVENANCE = "application/vnd.in-toto+json"
SBOM = "application/vnd.cyclonedx+json"
# The one registry whose API and login have other names than the one in image names.
HUB, HUB_HOST, HUB_LOGIN = "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"
LABEL = "org.opencontainers.image."
Descriptor = dict[str, Any]


class AttachError(Exception):
    """The registry refused; the text is what it answered."""


def described(media_type: str, content: bytes) -> Descriptor:
    """Return the descriptor of `content`."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def login(registry: str) -> str:
    """Return the login that `docker login` or `podman login` has stored for a registry, as user:password, if any."""
    registry = HUB_LOGIN if registry == HUB else registry
    podman = Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere"), "containers/auth.json")
    docker = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"), "config.json")
    for path in (Path(os.environ.get("REGISTRY_AUTH_FILE", podman)), docker):
        config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if helper := config.get("credHelpers", {}).get(registry) or config.get("credsStore"):
            command = (f"docker-credential-{helper}", "get")
            done = subprocess.run(command, input=registry, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode == 0:
                kept = json.loads(done.stdout)
                return f"{kept['Username']}:{kept['Secret']}"
        if kept := config.get("auths", {}).get(registry, {}).get("auth"):
            return base64.b64decode(kept).decode()
    return ""


@dataclass
class Repository:
    """A repository in a registry, by the API of the OCI distribution specification."""

    registry: str
    name: str
    authorization: str = field(default="", init=False)

    @property
    def url(self) -> str:
        """Its address: without TLS on this machine only, as for Docker."""
        is_local = re.fullmatch(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?", self.registry)
        host = HUB_HOST if self.registry == HUB else self.registry
        return f"{'http' if is_local else 'https'}://{host}/v2/{self.name}/"

    def send(self, method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[bytes, Message]:
        """Return the answer to a request, and its headers; AttachError when it is no success."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for _ in range(2):
            if self.authorization:
                headers["Authorization"] = self.authorization
            request = urllib.request.Request(urljoin(self.url, url), body, headers, method=method)  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the registry's scheme, above
                    return answer.read(), answer.headers
            except HTTPError as error:
                with error:
                    said = error.read().decode(errors="replace")
                if error.code != 401 or self.authorization:
                    raise AttachError(f"{method} {request.full_url}: {error.code} {said[:200]}") from None
                self.authorize(error.headers.get("WWW-Authenticate", ""))
            except (OSError, HTTPException) as error:
                raise AttachError(f"{method} {request.full_url}: {error}") from None
        raise AttachError(f"{self.registry} refuses the login that it asked for")

    def authorize(self, challenge: str) -> None:
        """Log in as the registry's `challenge` says: with the stored login, or with a token in exchange for it."""
        kept = login(self.registry)
        basic = f"Basic {base64.b64encode(kept.encode()).decode()}"
        if challenge.lower().startswith("basic"):
            self.authorization = basic
            return
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not asked.get("realm", "").startswith(("https://", self.url.partition("//")[0] + "//")):
            raise AttachError(f"{self.registry} asks for a login of an unknown form: {challenge}")
        query = {"service": asked.get("service", ""), "scope": f"repository:{self.name}:pull,push"}
        request = urllib.request.Request(f"{asked['realm']}?{urlencode(query)}")  # noqa: S310 - as above
        if kept:
            request.add_header("Authorization", basic)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
                token = json.load(answer)
        except (OSError, ValueError) as error:
            raise AttachError(f"{asked['realm']} gives no token: {error}") from None
        self.authorization = f"Bearer {token.get('token') or token.get('access_token')}"

    def push_blob(self, content: bytes, media_type: str) -> Descriptor:
        """Push `content`; return its descriptor."""
        blob = described(media_type, content)
        _, headers = self.send("POST", "blobs/uploads/", b"")
        place = urljoin(self.url, headers["Location"])
        place += f"{'&' if urlsplit(place).query else '?'}{urlencode({'digest': blob['digest']})}"
        self.send("PUT", place, content, Content_Type="application/octet-stream")
        return blob

    def push_manifest(self, manifest: dict[str, Any], reference: str = "") -> tuple[Descriptor, Message]:
        """Push a manifest under `reference` or its own digest; return its descriptor and the registry's headers."""
        content = json.dumps(manifest).encode()
        descriptor = described(manifest["mediaType"], content)
        where = f"manifests/{reference or descriptor['digest']}"
        _, headers = self.send("PUT", where, content, Content_Type=manifest["mediaType"])
        return descriptor, headers

    def attach(self, digest: str, kind: str, content: bytes) -> str:
        """Attach `content`, of the media type `kind`, to the image `digest`; return the digest of the artifact."""
        accepted = ", ".join((INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))
        image, headers = self.send("GET", f"manifests/{digest}", Accept=accepted)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": self.push_blob(b"{}", EMPTY),
            "layers": [self.push_blob(content, kind)],
            "subject": {"mediaType": headers["Content-Type"], "digest": digest, "size": len(image)},
        }
        artifact, answer = self.push_manifest(manifest)
        if "OCI-Subject" not in answer:
            self.list_by_tag(digest, {**artifact, "artifactType": kind})
        return str(artifact["digest"])

    def list_by_tag(self, digest: str, artifact: Descriptor) -> None:
        """Add an artifact to the index of those of the image `digest`, for a registry without the referrers API."""
        tag = digest.replace(":", "-")
        index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        try:
            index = json.loads(self.send("GET", f"manifests/{tag}", Accept=INDEX)[0])
        except AttachError as error:
            if ": 404 " not in str(error):
                raise
        if artifact["digest"] not in [known["digest"] for known in index["manifests"]]:
            index["manifests"].append(artifact)
            self.push_manifest(index, tag)


def run_of_pipeline() -> str:
    """Return the address of the pipeline's run; `urn:by-hand` without one."""
    env = os.environ
    if "GITHUB_RUN_ID" in env:
        return f"{env['GITHUB_SERVER_URL']}/{env['GITHUB_REPOSITORY']}/actions/runs/{env['GITHUB_RUN_ID']}"
    return env.get("CI_JOB_URL", "urn:by-hand")


def provenance(name: str, digest: str, labels: dict[str, str]) -> bytes:
    """Return the provenance of the image `digest` (SLSA in an in-toto statement), from its labels and the pipeline."""
    given = {key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL) and value}
    sources: list[dict[str, Any]] = [
        {"uri": f"git+{given.get('source', 'urn:unknown')}", "digest": {"gitCommit": given.get("revision", "")}},
        {"uri": f"docker://{given.get('base.name', '')}", "digest": {"sha256": given.get("base.digest", "")[7:]}},
    ]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:make-image",
                "externalParameters": given,
                "resolvedDependencies": [source for source in sources if any(source["digest"].values())],
            },
            "runDetails": {"builder": {"id": run_of_pipeline()}},
        },
    }
    return json.dumps(statement, indent=2, sort_keys=True).encode()
