"""`make push`: what it pushes, under which tags, and what it refuses. Tiny images stand in for the service's."""

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from attach import PROVENANCE, SBOM, AttachError, Repository
from tests.ci.conftest import MANIFESTS, Registry
from tests.helpers.engine import Engine
from tests.helpers.project import Bake, Project, Run, run
from tests.lab.engine import LAB

REVISION = "4e1243bd22c66e76c2ba9eddc1f91394e57f9f83"
Push = Callable[..., Run]


@pytest.fixture
def project(bake: Bake) -> Project:
    return bake(service_type="worker")


@pytest.fixture
def image(registry: Registry, engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The name of an image of version 1.2.0 that the engine has, and the registry has not."""
    name = f"{registry.address}/push/{uuid.uuid4().hex}"
    build(name, tmp_path)
    yield name
    tags = engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name).stdout.split()
    engine.docker("rmi", "--force", *tags)


def build(name: str, folder: Path, version: str = "1.2.0", revision: str = REVISION) -> None:
    (folder / "content").write_text(uuid.uuid4().hex)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
    labels = (f"org.opencontainers.image.version={version}", f"org.opencontainers.image.revision={revision}")
    run("docker", "build", "--quiet", "--tag", name, *(f"--label={label}" for label in labels), str(folder))


def check(project: Project, image: str) -> None:
    """Leave what `make check-image` leaves when an image keeps its contract."""
    done = run("docker", "image", "inspect", "--format", "{{.Id}}", image)
    project.write(".image-checked", done.stdout)


def push(project: Project, image: str, **env: str) -> Run:
    return project.make("push", f"IMAGE={image}", env=env, check=False)


def pushed(registry: Registry, image: str) -> dict[str, str]:
    return registry.digests(image.removeprefix(f"{registry.address}/"))


def order(done: Run) -> list[str]:
    """Return the tags that were pushed, in the order of pushing."""
    return [line.rsplit(":", 1)[1] for line in done.stdout.splitlines() if line.startswith("pushing ")]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("main", [REVISION, "main"]),
        ("feature/über-fast", [REVISION, "feature--ber-fast"]),
        ("v1.2.0", [REVISION, "1.2.0", "latest"]),
        ("1.2.0 main", [REVISION, "1.2.0", "main", "latest"]),
        ("", [REVISION]),
    ],
)
def test_tags(project: Project, image: str, registry: Registry, tags: str, expected: list[str]) -> None:
    check(project, image)
    done = push(project, image, TAGS=tags)
    assert done.returncode == 0, done.stderr
    assert order(done) == expected
    (digest,) = set(pushed(registry, image).values())
    assert pushed(registry, image) == dict.fromkeys(expected, digest)
    assert done.stdout.endswith(f"{image}@{digest} is pushed as {', '.join(expected)}\n")


def test_prerelease_does_not_become_latest(project: Project, image: str, registry: Registry, tmp_path: Path) -> None:
    build(image, tmp_path, version="2.0.0rc1")
    check(project, image)
    assert push(project, image, TAGS="v2.0.0rc1").returncode == 0
    assert pushed(registry, image).keys() == {REVISION, "2.0.0rc1"}


def test_branch_that_is_checked_out(project: Project, image: str, registry: Registry) -> None:
    run("git", "init", "--quiet", "--initial-branch=topic", cwd=project.path)
    check(project, image)
    assert push(project, image).returncode == 0
    assert pushed(registry, image).keys() == {REVISION, "topic"}


def test_unchecked_image(project: Project, image: str, registry: Registry) -> None:
    done = push(project, image, TAGS="main")
    assert done.returncode != 0
    assert f"{image} is not pushed: it was not checked" in done.stderr
    assert f"make check-image IMAGE={image}" in done.stderr
    assert not pushed(registry, image)
    assert push(project, image, TAGS="main", UNCHECKED="1").returncode == 0
    assert "main" in pushed(registry, image)


def test_image_that_was_built_again_after_the_check(
    project: Project, image: str, registry: Registry, tmp_path: Path
) -> None:
    check(project, image)
    build(image, tmp_path)
    done = push(project, image, TAGS="main")
    assert done.returncode != 0
    assert (
        f"the image that was checked is {project.read('.image-checked').strip()}, and {image} is sha256:" in done.stderr
    )
    assert not pushed(registry, image)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("example-service", "wanted: a registry and a repository"),
        ("registry.invalid/Team/service", "in lower case"),
        ("registry.invalid/team/service:1.0", "without a tag"),
        ("registry.invalid/team/service", "make image check-image IMAGE=registry.invalid/team/service"),
    ],
)
@pytest.mark.usefixtures("engine")
def test_name_of_no_image(project: Project, name: str, message: str) -> None:
    done = push(project, name)
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("v1.3.0", 'the image is version 1.2.0.\nTag the commit in which pyproject.toml says version = "1.3.0"'),
        ("main 1.3", "1.3 names a version"),
        ("latest", "latest is pushed with a release alone"),
    ],
)
def test_tag_that_would_be_untrue(project: Project, image: str, registry: Registry, tags: str, message: str) -> None:
    check(project, image)
    done = push(project, image, TAGS=tags)
    assert done.returncode != 0
    assert message in done.stderr
    assert not pushed(registry, image)


def test_image_that_does_not_tell_its_revision(
    project: Project, image: str, registry: Registry, tmp_path: Path
) -> None:
    build(image, tmp_path, revision="")
    check(project, image)
    done = push(project, image, TAGS="")
    assert done.returncode != 0
    assert "no tag to push under" in done.stderr
    assert not pushed(registry, image)


def test_what_is_known_of_the_image_is_attached(project: Project, image: str, registry: Registry) -> None:
    """And attached once, however often the image is pushed."""
    check(project, image)
    bill = {"metadata": {"properties": [{"name": "image", "value": project.read(".image-checked").strip()}]}}
    project.write("sbom.cdx.json", json.dumps(bill))
    env = {"GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://example.com", "GITHUB_REPOSITORY": "team/service"}
    assert push(project, image, TAGS="main", **env).returncode == 0
    assert push(project, image, TAGS="v1.2.0", **env).returncode == 0
    (digest,) = set(pushed(registry, image).values())
    attached = registry.attached(image.removeprefix(f"{registry.address}/"), digest)
    assert attached.keys() == {SBOM, PROVENANCE}
    assert attached[SBOM] == bill
    predicate = attached[PROVENANCE]["predicate"]
    assert predicate["buildDefinition"]["externalParameters"] == {"revision": REVISION, "version": "1.2.0"}
    assert predicate["buildDefinition"]["resolvedDependencies"][0]["digest"] == {"gitCommit": REVISION}
    assert predicate["runDetails"]["builder"] == {"id": "https://example.com/team/service/actions/runs/7"}


def test_bill_of_another_image_is_not_attached(project: Project, image: str, registry: Registry) -> None:
    check(project, image)
    project.write("sbom.cdx.json", json.dumps({"metadata": {"properties": [{"name": "image", "value": "sha256:0"}]}}))
    done = push(project, image, TAGS="main")
    assert done.returncode == 0, done.stderr
    assert f"make sbom IMAGE={image}" in done.stdout
    (digest,) = set(pushed(registry, image).values())
    assert registry.attached(image.removeprefix(f"{registry.address}/"), digest).keys() == {PROVENANCE}


class TakesImagesAlone(BaseHTTPRequestHandler):
    """A registry that asks for a login, or for a token that one gets for it, and refuses to keep an artifact."""

    challenge = 'Basic realm="registry"'
    logins: list[str] = []  # noqa: RUF012 - of one test

    def do_GET(self) -> None:
        self.logins.append(self.headers.get("Authorization", ""))
        self.send_response(200 if self.logins[-1] else 401)
        self.send_header("WWW-Authenticate", self.challenge)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.end_headers()
        self.wfile.write(b'{"token": "ticket"}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(405)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.quick
@pytest.mark.parametrize("asks_for", ["login", "token"])
@pytest.mark.parametrize("kept", ["auths", "credsStore", "credHelpers"])
def test_login_is_that_of_docker(kept: str, asks_for: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is kept in a file, or by a program; the registry refuses the artifact afterwards."""
    helper = tmp_path / "docker-credential-tester"
    helper.write_text('#!/bin/sh\nread -r registry; echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"$registry\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(TakesImagesAlone, "logins", [])
    with HTTPServer(("127.0.0.1", 0), TakesImagesAlone) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        registry = f"127.0.0.1:{server.server_port}"
        login = f"me:{registry}"
        challenge = f'Bearer realm="http://{registry}/token",service="registry"' if asks_for == "token" else "Basic"
        monkeypatch.setattr(TakesImagesAlone, "challenge", challenge)
        settings = {
            "auths": {registry: {"auth": base64.b64encode(login.encode()).decode()}},
            "credsStore": "tester",
            "credHelpers": {registry: "tester"},
        }
        (tmp_path / "config.json").write_text(json.dumps({kept: settings[kept]}))
        with pytest.raises(AttachError, match="405"):
            Repository(registry, "team/service").attach("sha256:0", PROVENANCE, b"{}")
        server.shutdown()
    basic = f"Basic {base64.b64encode(login.encode()).decode()}"
    assert TakesImagesAlone.logins[:2] == ["", basic]
    assert TakesImagesAlone.logins[2:] == (["Bearer ticket"] if asks_for == "token" else [])


# --- several platforms ---

BOTH = "linux/amd64,linux/arm64"


@pytest.fixture(params=["docker", "podman"])
def client(request: pytest.FixtureRequest, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program of an engine that knows the registry."""
    if request.param == "docker":
        return "docker"
    registries = tmp_path / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries))
    return run(LAB, "podman").stdout.split()[-1]


@pytest.fixture
def images(client: str, registry: Registry, project: Project, tmp_path: Path) -> Iterator[str]:
    """The name, but for the platform, of two images that were checked."""
    name = f"{registry.address}/push/{uuid.uuid4().hex}"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
    labels = ("--label=org.opencontainers.image.version=1.2.0", f"--label=org.opencontainers.image.revision={REVISION}")
    for platform in BOTH.split(","):
        part = platform.replace("/", "-")
        (tmp_path / "content").write_text(part)
        run(client, "build", "--quiet", "--platform", platform, "--tag", f"{name}:{part}", *labels, str(tmp_path))
        done = run(client, "image", "inspect", "--format", "{{.Id}}", f"{name}:{part}")
        project.write(f".image-checked-{part}", done.stdout)
    yield name
    names = run(client, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name).stdout.split()
    run(client, "rmi", "--force", *names)


def test_platforms_are_joined(project: Project, images: str, client: str, registry: Registry) -> None:
    identity = {"name": "image", "value": project.read(".image-checked-linux-arm64").strip()}
    project.write("sbom-linux-arm64.cdx.json", json.dumps({"metadata": {"properties": [identity]}}))
    done = push(project, images, PLATFORM=BOTH, DOCKER=client, TAGS="v1.2.0")
    assert done.returncode == 0, done.stderr
    own = [f"{REVISION}-linux-amd64", f"{REVISION}-linux-arm64"]
    assert order(done) == [*own, REVISION, "1.2.0", "latest"]
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("attached")] == [
        PROVENANCE,
        PROVENANCE,
        SBOM,
    ]
    tags = pushed(registry, images)
    (digest,) = {tags[tag] for tag in (REVISION, "1.2.0", "latest")}
    assert done.stdout.endswith(f"{images}@{digest} is pushed as {REVISION}, 1.2.0, latest\n")
    index, _ = registry.get(f"{images.removeprefix(registry.address + '/')}/manifests/{digest}", ", ".join(MANIFESTS))
    joined = {part["platform"]["architecture"]: part["digest"] for part in index["manifests"]}
    assert joined == {"amd64": tags[own[0]], "arm64": tags[own[1]]}


def test_each_platform_was_checked(project: Project, images: str, client: str, registry: Registry) -> None:
    (project.path / ".image-checked-linux-arm64").unlink()
    (project.path / ".image-checked").write_text(project.read(".image-checked-linux-amd64"))
    done = push(project, images, PLATFORM=BOTH, DOCKER=client, TAGS="main")
    assert done.returncode != 0
    assert f"{images}:linux-arm64 is not pushed: it was not checked" in done.stderr
    assert f"make check-image IMAGE={images} PLATFORM={BOTH}" in done.stderr
    assert not pushed(registry, images)


class AsksForALogin(BaseHTTPRequestHandler):
    """A registry that wants a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("registry")
def test_without_a_login(project: Project, image: str, engine: Engine) -> None:
    with HTTPServer(("127.0.0.1", 0), AsksForALogin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        name = f"{address}/team/service"
        engine.docker("tag", image, name)
        check(project, name)
        done = push(project, name, TAGS="main")
        server.shutdown()
    engine.docker("rmi", name, f"{name}:{REVISION}")
    assert done.returncode != 0
    assert f"{name}:{REVISION} could not be pushed" in done.stderr
    assert f"docker login {address}" in done.stderr
    assert "is pushed" not in done.stdout


def test_registry_that_is_not_there(project: Project, image: str, engine: Engine) -> None:
    name = "127.0.0.1:9/team/service"
    engine.docker("tag", image, name)
    check(project, name)
    done = push(project, name, TAGS="main")
    engine.docker("rmi", name, f"{name}:{REVISION}")
    assert done.returncode != 0
    assert "connection refused" in done.stderr
    assert "docker login" not in done.stderr
