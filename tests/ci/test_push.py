"""`make push`: what it pushes, under which tags, and what it refuses. Tiny images take the place of the service's."""

import hashlib
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.ci.conftest import MANIFESTS, Registry
from tests.helpers.engine import Engine
from tests.helpers.project import Bake, Project, Run, run
from tests.lab.engine import LAB

REVISION = "4e1243bd22c66e76c2ba9eddc1f91394e57f9f83"
BOTH = "linux/amd64,linux/arm64"


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


@pytest.fixture
def podman(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program of a Podman that knows the registry."""
    registries = tmp_path / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries))
    return run(LAB, "podman").stdout.split()[-1]


def build(
    name: str, folder: Path, version: str = "1.2.0", revision: str = REVISION, client: str = "docker", *options: str
) -> None:
    """Build an image with a content of its own."""
    (folder / "content").write_text(uuid.uuid4().hex)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
    labels = (f"org.opencontainers.image.version={version}", f"org.opencontainers.image.revision={revision}")
    run(client, "build", "--quiet", "--tag", name, *options, *(f"--label={label}" for label in labels), str(folder))


def check(project: Project, image: str, client: str = "docker", name: str = ".image-checked") -> None:
    """Leave what `make check-image` leaves when an image keeps its contract."""
    project.write(name, run(client, "image", "inspect", "--format", "{{.Id}}", image).stdout)


def push(project: Project, image: str, **env: str) -> Run:
    return project.make("push", f"IMAGE={image}", env=env, check=False)


def pushed(registry: Registry, image: str) -> dict[str, str]:
    return registry.digests(image.removeprefix(f"{registry.address}/"))


def order(done: Run) -> list[str]:
    """Return the tags that were pushed, in the order of pushing."""
    return [line.rsplit(":", 1)[1] for line in done.stdout.splitlines() if line.startswith("pushing ")]


def checksum(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("main", [REVISION, "main"]),
        ("feature/fast", [REVISION, "feature-fast"]),
        ("v2-refactor", [REVISION, "v2-refactor"]),
        ("기능", [REVISION, f"branch-{checksum('기능')}"]),
        ("feature/über-fast", [REVISION, f"feature--ber-fast-{checksum('feature/über-fast')}"]),
        ("latest", [REVISION, f"latest-{checksum('latest')}"]),
        ("$(id)", [REVISION, "id"]),
        ("v1.2.0", [REVISION, "1.2.0", "latest"]),
        ("1.2.0 main", [REVISION, "1.2.0", "main", "latest"]),
        ("", [REVISION]),
    ],
)
def test_tags(project: Project, image: str, registry: Registry, tags: str, expected: list[str]) -> None:
    check(project, image)
    done = push(project, image, TAGS=tags.replace("$", "$$"))
    assert done.returncode == 0, done.stderr
    assert order(done) == expected
    (digest,) = set(pushed(registry, image).values())
    assert pushed(registry, image) == dict.fromkeys(expected, digest)
    assert done.stdout.endswith(f"{image}@{digest} is pushed as {', '.join(expected)}\n")
    assert project.read(".image-pushed") == f"{image}@{digest}\n"


def test_branch_that_is_checked_out(project: Project, image: str, registry: Registry) -> None:
    run("git", "init", "--quiet", "--initial-branch=topic", cwd=project.path)
    check(project, image)
    assert push(project, image).returncode == 0
    assert pushed(registry, image).keys() == {REVISION, "topic"}


@pytest.mark.parametrize("engine_program", ["docker", "podman"])
def test_release_names_what_was_pushed_for_its_commit(
    project: Project, image: str, registry: Registry, tmp_path: Path, podman: str, engine_program: str
) -> None:
    """What main pushed was tested since; what the release built is another image. `latest` never goes back."""
    client = podman if engine_program == "podman" else "docker"

    def make(version: str, revision: str, tags: str) -> Run:
        build(image, tmp_path, version, revision, client)
        check(project, image, client)
        before = project.read(".image-checked")
        done = push(project, image, TAGS=tags, DOCKER=client)
        assert done.returncode == 0, done.stderr
        check(project, image, client)  # the name is still that of the image that was built
        assert project.read(".image-checked") == before
        return done

    make("1.2.0", REVISION, "main")
    tested = pushed(registry, image)
    assert order(make("1.2.0", REVISION, "v1.2.0")) == ["1.2.0", "latest"]
    assert set(pushed(registry, image).values()) == set(tested.values())

    make("1.1.9", "1" * 40, "v1.1.9")
    make("2.0.0rc1", "2" * 40, "v2.0.0rc1")
    assert pushed(registry, image)["latest"] == pushed(registry, image)["1.2.0"]
    make("1.10.0", "3" * 40, "v1.10.0")
    assert pushed(registry, image)["latest"] == pushed(registry, image)["1.10.0"]
    run(client, "rmi", "--force", image)


@pytest.mark.parametrize(
    ("revision", "tags", "message"),
    [
        (f"{REVISION}-dirty", "v1.2.0", f"v1.2.0: {REVISION}-dirty is no commit to release"),
        ("", "v1.2.0", "v1.2.0: no commit is no commit to release"),
        (REVISION, "v1.3.0", "v1.3.0 names a version, the image has 1.2.0"),
        (REVISION, "main 1.3", "1.3 names a version"),
        ("", "", "no tag to push under"),
    ],
)
def test_tag_that_would_be_untrue(
    project: Project, image: str, registry: Registry, tmp_path: Path, revision: str, tags: str, message: str
) -> None:
    build(image, tmp_path, revision=revision)
    check(project, image)
    done = push(project, image, TAGS=tags)
    assert done.returncode != 0
    assert message in done.stderr
    assert not pushed(registry, image)


def test_unchecked_image(project: Project, image: str, registry: Registry) -> None:
    done = push(project, image, TAGS="main")
    assert done.returncode != 0
    assert "no image passed its contract: run 'make image check-image'" in done.stderr
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
    assert f"{image} is sha256:" in done.stderr
    assert f", {project.read('.image-checked').strip()} passed its contract" in done.stderr
    assert not pushed(registry, image)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("example-service", "wanted: registry.example.com/team/service"),
        ("team/service", "wanted: registry.example.com/team/service"),
        ("registry.invalid/Team/service", "wanted: registry.example.com/team/service"),
        ("registry.invalid/team/service:1.0", "wanted: registry.example.com/team/service"),
        ("registry.invalid/team/service", "registry.invalid/team/service is not here"),
    ],
)
@pytest.mark.usefixtures("engine")
def test_name_of_no_image(project: Project, name: str, message: str) -> None:
    done = push(project, name)
    assert done.returncode != 0
    assert message in done.stderr


# --- several platforms ---


@pytest.fixture
def images(image: str, project: Project, tmp_path: Path) -> str:
    """The name, but for the platform, of two images that were checked."""
    for platform in BOTH.split(","):
        part = platform.replace("/", "-")
        build(f"{image}:{part}", tmp_path, "1.2.0", REVISION, "docker", f"--platform={platform}")
        check(project, f"{image}:{part}", name=f".image-checked-{part}")
    return image


def test_platforms_are_joined(project: Project, images: str, registry: Registry) -> None:
    done = push(project, images, PLATFORM=BOTH, TAGS="v1.2.0")
    assert done.returncode == 0, done.stderr
    own = [f"{REVISION}-linux-amd64", f"{REVISION}-linux-arm64"]
    assert order(done) == [*own, REVISION, "1.2.0", "latest"]
    tags = pushed(registry, images)
    (digest,) = {tags[tag] for tag in (REVISION, "1.2.0", "latest")}
    assert done.stdout.endswith(f"{images}@{digest} is pushed as {REVISION}, 1.2.0, latest\n")
    index, _ = registry.get(f"{images.removeprefix(registry.address + '/')}/manifests/{digest}", ", ".join(MANIFESTS))
    joined = {part["platform"]["architecture"]: part["digest"] for part in index["manifests"]}
    assert joined == {"amd64": tags[own[0]], "arm64": tags[own[1]]}
    # A release of the same commit names the same index; an older one does not become the latest.
    assert order(push(project, images, PLATFORM=BOTH, TAGS="v1.2.0")) == ["1.2.0", "latest"]
    assert pushed(registry, images) == tags


def test_each_platform_was_checked(project: Project, images: str, registry: Registry) -> None:
    (project.path / ".image-checked-linux-arm64").unlink()
    (project.path / ".image-checked").write_text(project.read(".image-checked-linux-amd64"))
    done = push(project, images, PLATFORM=BOTH, TAGS="main")
    assert done.returncode != 0
    assert f"{images}:linux-arm64 is sha256:" in done.stderr
    assert "no image passed its contract" in done.stderr
    assert not pushed(registry, images)


@pytest.mark.quick
def test_podman_joins_no_platforms(project: Project) -> None:
    done = push(project, "registry.invalid/team/service", PLATFORM=BOTH, DOCKER="podman")
    assert done.returncode != 0
    assert "joined by buildx: DOCKER=docker" in done.stderr


# --- registries ---


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
        name = f"127.0.0.1:{server.server_port}/team/service"
        engine.docker("tag", image, name)
        check(project, name)
        done = push(project, name, TAGS="main")
        server.shutdown()
    engine.docker("rmi", name, f"{name}:{REVISION}")
    assert done.returncode != 0
    assert f"push {name}:{REVISION}: " in done.stderr
    assert "Log in first: docker login" in done.stderr
    assert "is pushed" not in done.stdout


@pytest.mark.parametrize("tags", ["main", "v1.2.0"])
def test_registry_that_is_not_there(project: Project, image: str, engine: Engine, tags: str) -> None:
    name = "127.0.0.1:9/team/service"
    engine.docker("tag", image, name)
    check(project, name)
    done = push(project, name, TAGS=tags)
    engine.docker("rmi", "--force", name, f"{name}:{REVISION}", check=False)
    assert done.returncode != 0
    assert "connection refused" in done.stderr
