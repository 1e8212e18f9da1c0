"""The mirror switch in whole builds."""

import base64
import io
import lzma
import os
import re
import subprocess
import tarfile
import tomllib
import zlib
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
COLD = ("--no-cache-filter", "tools,deps")
FRESH_TOOLS = ("--no-cache-filter", "tools")


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
    project = bake(mirror="kakao")
    _, done = engine.build(project, "--no-cache-filter", "tools,deps")
    assert "failed" not in done.stderr
    fetched = [line for line in mirror_log.requests() if "/pypi/packages/" in line]
    assert any("/uv-" in line for line in fetched)
    assert any("/uv-" not in line for line in mirror_log.requests() if "/pypi/simple/" in line)


def test_no_mirror_means_no_request_to_it(bake: Bake, engine: Engine) -> None:
    # The name leads nowhere: a request to it would fail, and the build with it.
    project = bake(mirror="none")
    flags, engine.build_flags = engine.build_flags, ("--network", "host") if lab() else ()
    try:
        _, done = engine.build(project, "--no-cache-filter", "tools,deps", "--build-arg", "MIRROR_FALLBACK=0")
    finally:
        engine.build_flags = flags
    assert "mirror:" not in done.stderr


def test_buildah_builds_a_project_without_a_mirror(bake: Bake, engine: Engine) -> None:
    """It wants a file for each COPY, and there is no docker/pip.conf."""
    if not lab():
        unavailable("this test needs the lab's Podman, and the lab is not in use")
    podman = run(LAB, "podman").stdout.split()[-1]
    project = bake(mirror="none")
    suite = f"DEBIAN_SUITE={engine.suites[project.answers['python_version']]}"
    run(podman, "build", "--target", "tools", *engine.build_flags, "--build-arg", suite, project.path)


def test_build_arguments_turn_it_on_off_and_elsewhere(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    for chosen in CHOICES["mirror"]:
        project = bake(mirror=chosen)
        before = Path(lab()["LAB_MIRROR_LOG"]).read_text().count('"pip/')
        engine.build(project, *FRESH_TOOLS, *to(mirror, MIRROR_FALLBACK="0"))
        assert [path for path in mirror.requests if "/uv-" in path], chosen
        mirror.requests.clear()
        engine.build(project, *FRESH_TOOLS, *to(None))
        assert not mirror.requests
        assert Path(lab()["LAB_MIRROR_LOG"]).read_text().count('"pip/') == before, "asked the mirror of the project"


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
    project = bake()
    project.write("docker/apt-runtime.txt", "")
    address = mirror.pypi.replace(HOST, "unruly.test")
    # The containers' own network: from there the machine is reached, and nothing behind it.
    monkeypatch.setattr(engine, "build_flags", ("--add-host", f"unruly.test:{GATEWAY}"))
    engine.build(project, *COLD, "--build-arg", f"PYPI_MIRROR={address}")
    assert closed_network() == 0
    served = {path.rsplit("/", 1)[1].split("-")[0] for path in mirror.requests if path.endswith(".whl")}
    locked = {package["name"].replace("-", "_") for package in tomllib.loads(project.read("poetry.lock"))["package"]}
    assert served >= {"uv", "poetry", "pydantic"}
    assert served & locked
    # The rule does count: what asks upstream fails, and is seen.
    _, done = engine.build(project, "--target", "tools", *COLD, "--build-arg", "PYPI_MIRROR=", check=False)
    assert done.returncode != 0
    assert closed_network() > 0


def test_silent_mirror_costs_a_whole_build_half_a_minute_at_most(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    project = bake(service_type="worker")
    project.write("docker/apt-runtime.txt", "tree\n")
    mirror.behave = Behaviour(hang=True)
    _, done = engine.build(project, "--no-cache-filter", "tools,deps,base", *to(mirror))
    lost = re.findall(r"mirror: (\S+) failed .*no answer in (\d+) s.*trying again on upstream", done.stderr)
    assert [url for url, _ in lost].count(mirror.pypi) == 3, done.stderr  # pip, uv twice
    assert [url for url, _ in lost].count(mirror.debian) == 1, done.stderr  # in a stage of its own, beside those
    # It was asked once for each of these lines, so the waits are all that was lost.
    assert len(mirror.requests) == len(lost), mirror.requests
    assert sum(int(seconds) for url, seconds in lost if url == mirror.pypi) <= 30


@pytest.mark.parametrize(
    ("stage", "file"),
    [("tools", "uv-*.whl"), ("tools", "poetry_core-*.whl"), ("deps", FILE)],
    ids=["build tool", "build tool of Poetry", "dependency"],
)
def test_altered_wheel_stops_the_build(bake: Bake, engine: Engine, mirror: Unruly, stage: str, file: str) -> None:
    project = bake(service_type="worker", project_slug=f"altered-{file.partition('-')[0].replace('_', '-')}")
    # A download cache of its own, so that the file is fetched.
    project.write("Dockerfile", project.read("Dockerfile").replace("type=cache,", f"type=cache,id={project.path},"))
    mirror.behave = Behaviour(altered=file)
    fresh = ("--no-cache-filter", stage)
    tag, done = engine.build(project, *fresh, *to(mirror), check=False)
    assert done.returncode != 0
    assert lines(done, "STOP:", file.split("-")[0].replace("_", "-"))
    assert lines(done, "served by", mirror.pypi)
    assert lines(done, "  locked ")
    assert lines(done, "  served     ")
    assert not lines(done, "trying again")
    assert engine.docker("image", "inspect", tag, check=False).returncode != 0
    mirror.behave = GOOD  # the caches hold nothing of it
    image, _ = engine.build(project, *fresh, *to(mirror, MIRROR_FALLBACK="0"), "--target", "deps")
    found = ("run", "--rm", image, "find", "/opt", "/app", "-name", STOWAWAY)
    assert engine.docker(*found, check=False).stdout == ""


def test_trusted_host_in_the_base_image_is_refused(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    version, suite = next(iter(engine.suites.items()))
    registry = f"template-test-{os.getpid()}"
    base = f"{registry}/python:{version}-slim-{suite}"
    engine.images.append(base)
    dockerfile = f"FROM python:{version}-slim-{suite}\nENV PIP_TRUSTED_HOST={HOST}\n"
    subprocess.run(["docker", "build", "-q", "-t", base, "-"], input=dockerfile.encode(), check=True)
    project = bake(python_version=version)
    _, done = engine.build(project, "--build-arg", f"REGISTRY={registry}", *to(mirror), check=False)
    assert done.returncode != 0
    assert lines(done, "PIP_TRUSTED_HOST", "certificate checks", mirror.pypi)
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
    for known in (b"def fork_below_init", b"org.opencontainers.image.title", b"build-arg:MIRROR_FALLBACK"):
        assert list(found_in(exported, [known], "image")), known
