"""The mirror switch in whole builds."""

import base64
import io
import lzma
import os
import re
import subprocess
import tarfile
import tomllib
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.engine import Engine
from tests.helpers.machine import lab, unavailable
from tests.helpers.mirror import FILE, HOST, PASSWORD, USER, lines
from tests.helpers.project import Bake, run
from tests.lab.engine import LAB
from tests.lab.unruly import GOOD, STOWAWAY, Behaviour, Unruly

GATEWAY = "172.31.240.1"  # this machine, as seen from the lab's containers
BRIDGE = "172.31.240.0/24"
DOWNLOADS = ("--no-cache-filter", "tools,base,packages")

FALLBACK_OFF = ("--build-arg", "MIRROR_FALLBACK=0")


def fresh() -> str:
    """Return the name of a project that has no download in a cache yet."""
    return f"fresh-{uuid.uuid4().hex[:8]}"


def to(mirror: Unruly | None, **more: str) -> list[str]:
    """Return the build arguments that set both mirrors (None: upstream)."""
    values = {"PYPI_MIRROR": mirror.pypi if mirror else "", "DEBIAN_MIRROR": mirror.debian if mirror else "", **more}
    return [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]


@pytest.fixture
def mirror_log() -> "MirrorLog":
    if not lab():
        unavailable("this test reads the log of the lab's mirror, and the lab is not in use")
    return MirrorLog(Path(lab()["LAB_MIRROR_LOG"]))


class MirrorLog:
    """The log of the lab's mirror, from now on."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, path.stat().st_size

    def requests(self) -> list[str]:
        with self.path.open() as file:
            file.seek(self.start)
            return file.read().splitlines()


def test_packages_come_from_the_chosen_mirror(bake: Bake, engine: Engine, mirror_log: MirrorLog) -> None:
    project = bake(mirror="kakao", project_slug=fresh())
    _, done = engine.build(project, *DOWNLOADS)
    assert "failed" not in done.stderr
    for place in ("simple", "packages"):
        asked = [line for line in mirror_log.requests() if f"/pypi/{place}/" in line]
        assert [line for line in asked if re.search("/poetry[-_]core", line)], place
        assert [line for line in asked if re.search("/pydantic[-_]core", line)], place


@pytest.fixture
def without_mirror(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the mirror's name lead nowhere: a request to it would fail, and the build with it."""
    monkeypatch.setattr(engine, "build_flags", ("--network", "host") if lab() else ())


@pytest.mark.parametrize("chosen", CHOICES["mirror"])
@pytest.mark.usefixtures("without_mirror")
def test_no_mirror_means_no_request_to_it(bake: Bake, engine: Engine, chosen: str) -> None:
    off = [] if chosen == "none" else to(None)
    _, done = engine.build(bake(mirror=chosen, project_slug=fresh()), *DOWNLOADS, *off, *FALLBACK_OFF)
    assert "mirror:" not in done.stderr


def test_buildah_builds_a_project_without_a_mirror(bake: Bake, engine: Engine) -> None:
    """It wants a file for each COPY, and there is no docker/pip.conf."""
    if not lab():
        unavailable("this test needs the lab's Podman, and the lab is not in use")
    podman = run(LAB, "podman").stdout.split()[-1]
    project = bake(mirror="none")
    suite = f"DEBIAN_SUITE={engine.suites[project.answers['python_version']]}"
    run(podman, "build", "--target", "tools", *engine.build_flags, "--build-arg", suite, project.path)


@pytest.mark.parametrize("chosen", CHOICES["mirror"])
@pytest.mark.usefixtures("without_mirror")
def test_build_arguments_lead_elsewhere(bake: Bake, engine: Engine, mirror: Unruly, chosen: str) -> None:
    project = bake(mirror=chosen, project_slug=fresh())
    engine.build(project, *DOWNLOADS, *to(mirror), *FALLBACK_OFF)
    for name in ("poetry_core", "pydantic_core"):
        assert [path for path in mirror.requests if f"/{name}-" in path]


@pytest.mark.quick
def test_rendered_without_a_mirror_names_none(bake: Bake) -> None:
    hosts = set(re.findall(r"https://([\w.]+)", (ROOT / "templates/mirrors.jinja").read_text()))
    names = {*hosts, *CHOICES["mirror"]} - {"none"}
    assert names
    for service in CHOICES["service_type"]:
        project = bake(mirror="none", service_type=service)
        assert not [file for file in project.files() for name in names if name in project.read(str(file))]
        assert any(name in bake(service_type=service).read("docker/pip.conf") for name in names)


@pytest.fixture
def closed_network() -> Iterator[Callable[[], int]]:
    """Let nothing leave the lab's containers; return a function that counts the packets that tried."""
    rule = ["FORWARD", "-s", BRIDGE, "-j", "REJECT", "-m", "comment", "--comment", f"test-{os.getpid()}"]

    def count() -> int:
        listed = run("iptables", "-w", "-L", "FORWARD", "-v", "-x", "-n").stdout
        return int(next(line for line in listed.splitlines() if rule[-1] in line).split()[0])

    run("iptables", "-w", "-I", *rule)
    try:
        yield count
    finally:
        run("iptables", "-w", "-D", *rule)


def test_upstream_unreachable(
    bake: Bake, engine: Engine, mirror: Unruly, closed_network: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bake(project_slug=fresh())
    project.write("docker/apt-runtime.txt", "")
    address = mirror.pypi.replace(HOST, "unruly.test")
    # The containers' own network: from there the machine is reached, and nothing behind it.
    monkeypatch.setattr(engine, "build_flags", ("--add-host", f"unruly.test:{GATEWAY}"))
    engine.build(project, *DOWNLOADS, "--build-arg", f"PYPI_MIRROR={address}")
    assert closed_network() == 0
    served = {path.rsplit("/", 1)[1].split("-")[0] for path in mirror.requests if path.endswith(".whl")}
    locked = {package["name"].replace("-", "_") for package in tomllib.loads(project.read("poetry.lock"))["package"]}
    assert served >= {"uv", "poetry", "pydantic"}
    assert served & locked
    # The rule does count: what asks upstream fails, and is seen.
    _, done = engine.build(project, "--target", "tools", *DOWNLOADS, "--build-arg", "PYPI_MIRROR=", check=False)
    assert done.returncode != 0
    assert closed_network() > 0


def test_silent_mirror_is_waited_for_three_times(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    """5 s each time: for uv, for the lock reader, for the packages; and for Debian's packages at the same time."""
    project = bake(service_type="worker", project_slug=fresh())
    project.write("docker/apt-runtime.txt", "tree\n")
    mirror.behave = Behaviour(hang=True)
    _, done = engine.build(project, *DOWNLOADS, *to(mirror))
    stages = dict(re.findall(r"(?m)^#(\d+) \[([\w-]+) \d+/\d+\] RUN ", done.stderr))
    lost = re.findall(r"#(\d+) .*mirror: (\S+) failed.* trying again on upstream", done.stderr)
    assert Counter((stages[number], url) for number, url in lost) == {
        ("tools", mirror.pypi): 2,
        ("packages", mirror.pypi): 1,
        ("base", mirror.debian): 1,
    }
    assert re.search(r"\nTIMEOUT, TIMEOUT_ALONE = 5, ", project.read("tools/image/mirror.py"))


@pytest.mark.parametrize("stage", ["tools", "base"])
def test_patience_reaches_the_stages_that_download(bake: Bake, engine: Engine, mirror: Unruly, stage: str) -> None:
    project = bake()
    project.write("docker/apt-runtime.txt", "tree\n")
    _, done = engine.build(project, "--target", stage, *to(mirror, MIRROR_TIMEOUT="soon"), check=False)
    assert done.returncode != 0
    assert lines(done, "MIRROR_TIMEOUT is 'soon'")


@pytest.mark.parametrize("file", ["uv-*.whl", "poetry_core-*.whl", FILE], ids=["uv", "lock reader", "dependency"])
def test_altered_wheel_stops_the_build(bake: Bake, engine: Engine, mirror: Unruly, file: str) -> None:
    project = bake(service_type="worker", project_slug=fresh())
    mirror.behave = Behaviour(altered=file)
    tag, done = engine.build(project, *DOWNLOADS, *to(mirror), check=False)
    assert done.returncode != 0
    assert lines(done, f"STOP: {mirror.pypi} served a file with another hash")
    assert not lines(done, "trying again")
    assert engine.docker("image", "inspect", tag, check=False).returncode != 0
    mirror.behave = GOOD  # the caches hold nothing of it
    image, _ = engine.build(project, *to(mirror, MIRROR_FALLBACK="0"))
    found = ("run", "--rm", "--entrypoint", "find", image, "/app", "/usr/local/lib", "-name", STOWAWAY)
    assert engine.docker(*found).stdout == ""


def test_trusted_host_in_the_base_image_changes_nothing(
    bake: Bake, engine: Engine, private: tuple[Unruly, Path]
) -> None:
    """The certificate of a mirror is checked."""
    mirror, _ = private
    mirror.requests.clear()
    version, suite = next(iter(engine.suites.items()))
    registry = f"template-test-{os.getpid()}"
    base = f"{registry}/python:{version}-slim-{suite}"
    engine.images.append(base)
    dockerfile = f"FROM python:{version}-slim-{suite}\nENV PIP_TRUSTED_HOST={HOST} UV_INSECURE_HOST={HOST}\n"
    subprocess.run(["docker", "build", "-q", "-t", base, "-"], input=dockerfile.encode(), check=True)
    project = bake(python_version=version)
    options = ("--build-arg", f"REGISTRY={registry}", "--target", "tools", *to(mirror), *FALLBACK_OFF)
    _, done = engine.build(project, *options, check=False)
    assert done.returncode != 0
    assert lines(done, f"{mirror.pypi} failed", "giving up")
    assert not mirror.requests


def found_in(data: bytes, needles: list[bytes], where: str) -> Iterator[str]:
    """Yield each place in `data`, and in the archives and compressed data within, that holds one of `needles`."""
    for needle in needles:
        if needle in data:
            yield f"{where}: {needle!r}"
    if data[:2] == b"\x1f\x8b":
        yield from found_in(zlib.decompress(data, 31), needles, f"{where} (gz)")
    elif data[:6] == b"\xfd7zXZ\x00":
        yield from found_in(lzma.decompress(data), needles, f"{where} (xz)")
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if file := archive.extractfile(member) if member.isfile() else None:
                    yield from found_in(file.read(), needles, f"{where}/{member.name}")


def test_credentials_and_private_authority_leave_no_trace(
    bake: Bake, private: tuple[Unruly, Path], tmp_path: Path, engine: Engine, containerd: dict[str, str]
) -> None:
    mirror, ca = private
    mirror.behave = Behaviour(credentials=f"{USER}:{PASSWORD}")
    mirror.requests.clear()
    version = next(iter(engine.suites))
    project = bake(python_version=version, service_type="worker")
    project.write("docker/apt-runtime.txt", "tree\n")
    netrc, image = tmp_path / "netrc", tmp_path / "image.tar"
    netrc.write_text(f"machine {HOST}\nlogin {USER}\npassword {PASSWORD}\n")
    done = run(
        *("docker", "buildx", "build", "--progress=plain", "--network", "host", "--provenance", "mode=max"),
        *("--secret", f"id=netrc,src={netrc}", "--secret", f"id=ca,src={ca}"),
        *("--build-arg", f"DEBIAN_SUITE={engine.suites[version]}", *to(mirror, MIRROR_FALLBACK="0")),
        *("--output", f"type=oci,dest={image}", project.path),
        env=containerd,
    )
    assert [path for path in mirror.requests if path.endswith(".whl")]
    assert [path for path in mirror.requests if path.endswith(".deb")]
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    secrets = [PASSWORD.encode(), token, USER.encode() + b":", ca.read_bytes().splitlines()[1]]
    exported = image.read_bytes()
    assert not list(found_in(exported, secrets, "image"))
    assert not [secret for secret in secrets if secret.decode() in done.stdout + done.stderr]
    # The search does look into layers, configuration and attestations.
    for known in (b"service_runtime/__init__.py", b"org.opencontainers.image.title", b"build-arg:MIRROR_FALLBACK"):
        assert list(found_in(exported, [known], "image")), known
