"""The mirror switch against a mirror that misbehaves: real pip, uv, Poetry, apt and BuildKit, nothing mocked.

What one tool does is tested with that tool alone, through docker/mirror.py as the Dockerfile calls it; what the build
does as a whole, with whole builds.
"""

import base64
import contextlib
import io
import lzma
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.locks import POETRY
from tests.combinations import CHOICES, ROOT
from tests.conftest import Bake, Engine, Project, Run, index_environment, interpreters, lab, run, unavailable
from tests.unruly import GOOD, STOWAWAY, Behaviour, Unruly, authority, certificate, refusing, unruly

# A name, since pip 25 checks no certificate for an address.
HOST = "localhost"
GATEWAY = "172.31.240.1"  # this machine, as seen from the lab's containers
BRIDGE = "172.31.240.0/24"
PACKAGE = "annotated-types"  # small, and locked for every service type
USER, PASSWORD = "unruly-reader", "correct-horse-battery"
SECOND_LIMIT = 30


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not lab():
        unavailable("the unruly mirror stands in front of the lab's mirror, and the lab is not in use")
    return tmp_path_factory.mktemp("unruly")


def run_unruly(folder: Path, ca: Path, key: Path) -> contextlib.AbstractContextManager[Unruly]:
    names = [f"DNS:{HOST}", "DNS:unruly.test"]
    return unruly(lab()["LAB_MIRROR_IP"], "0.0.0.0", HOST, certificate(folder, ca, key, names))


@pytest.fixture(scope="session")
def known_mirror(folder: Path) -> Iterator[Unruly]:
    ca = Path(lab()["LAB_CA"])
    with run_unruly(folder, ca, ca.with_name("ca.key")) as mirror:
        yield mirror


@pytest.fixture
def mirror(known_mirror: Unruly) -> Unruly:
    """A mirror with a certificate that the base images trust; well-behaved until told otherwise."""
    known_mirror.behave = GOOD
    known_mirror.requests.clear()
    return known_mirror


@pytest.fixture(scope="session")
def private(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Unruly, Path]]:
    """A mirror with a certificate that nothing trusts, and the file of the authority that signed it."""
    ca, key = authority(folder)
    with run_unruly(tmp_path_factory.mktemp("private"), ca, key) as mirror:
        yield mirror, ca


@pytest.fixture(scope="session")
def plain(folder: Path) -> Iterator[Unruly]:  # noqa: ARG001 - skips without the lab
    """A mirror without https."""
    with unruly(lab()["LAB_MIRROR_IP"], "127.0.0.1", HOST) as mirror:
        yield mirror


# --- one tool ---------------------------------------------------------------------------------------------------------


@dataclass
class Tool:
    """pip, uv or Poetry on this machine, run as `docker/mirror.py index` in a project."""

    name: str
    project: Project
    folder: Path
    seconds: float = 0

    @property
    def installed(self) -> set[str]:
        """What it has installed: names of files and folders."""
        return {path.name for place in ("site", "venvs") for path in self.folder.glob(f"{place}/**/annotated_types*")}

    def command(self) -> list[str]:
        target = self.folder / "site" / self.name
        checked = ["--no-deps", "--require-hashes", "--target", str(target), "-r", str(self.folder / "wanted.txt")]
        return {
            "pip": [sys.executable, "-m", "pip", "install", "-q", "--no-cache-dir", "--only-binary", ":all:", *checked],
            "uv": ["uv", "pip", "install", "-q", "--no-cache", "--no-build", "--python", sys.executable, *checked],
            "poetry": ["poetry", "sync", "--no-root"],
        }[self.name]

    def __call__(self, url: str | None, **env: str) -> Run:
        """Install PACKAGE from the index `url` (None: as the project's own files say)."""
        bundle = self.folder / "bundle.pem"
        bundle.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + Path(lab()["LAB_CA"]).read_bytes())
        env = {
            "SSL_CERT_FILE": str(bundle),
            "SSL_CERT_DIR": "",
            "NETRC": str(self.folder / "netrc"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "POETRY_VIRTUALENVS_PATH": str(self.folder / "venvs"),
            "POETRY_CACHE_DIR": str(self.folder / "cache"),
            **({} if url is None else {"PYPI_MIRROR": url}),
            **env,
        }
        begin = time.monotonic()
        mirror = self.project.path / "docker" / "mirror.py"
        done = run(sys.executable, mirror, "index", *self.command(), cwd=self.folder, env=env, check=False)
        self.seconds = time.monotonic() - begin
        return done


@pytest.fixture
def tool(bake: Bake, tmp_path: Path) -> Callable[[str], Tool]:
    def tool(name: str) -> Tool:
        project = bake(service_type="worker")
        locked = {package["name"]: package for package in tomllib.loads(project.read("poetry.lock"))["package"]}
        hashes = " ".join(f"--hash={file['hash']}" for file in locked[PACKAGE]["files"])
        (tmp_path / "wanted.txt").write_text(f"{PACKAGE}=={locked[PACKAGE]['version']} {hashes}\n")
        if name == "poetry":
            (tmp_path / "pyproject.toml").write_text(
                f'[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n'
                f'dependencies = ["{PACKAGE}=={locked[PACKAGE]["version"]}"]\n[tool.poetry]\npackage-mode = false\n'
            )
            run("poetry", "lock", cwd=tmp_path, env={"POETRY_PYPI_MIRROR_URL": index_environment()["PYPI_MIRROR"]})
        return Tool(name, project, tmp_path)

    return tool


def lines(done: Run, *words: str) -> list[str]:
    """Return the lines of mirror.py's own that hold all `words`."""
    printed = [re.sub(r"^#\d+ [\d.]+ ", "", line) for line in done.stderr.splitlines()]
    return [line for line in printed if line.startswith("mirror: ") and all(word in line for word in words)]


FILE = PACKAGE.replace("-", "_") + "-*.whl"
VERSION = PACKAGE.replace("-", "_") + "-*"
# What the mirror does, and words of the one line that says why it is given up.
DEAD = {
    "refused": (GOOD, "Connection refused"),
    "silent": (Behaviour(silent=True), "no answer in 7 s"),
    "hangs": (Behaviour(hang=True), "no answer in 7 s"),
    "503": (Behaviour(status=503), "HTTP 503"),
    "wrong certificate": (GOOD, "CERTIFICATE_VERIFY_FAILED"),
    "login page": (Behaviour(login=True), "no index page"),
    "wants credentials": (Behaviour(credentials="a:b"), "HTTP 401 Unauthorized; credentials for it come in as"),
}
BROKEN = {
    "404 on one wheel": (Behaviour(missing=FILE), "404"),
    "stale": (Behaviour(stale=VERSION), PACKAGE),
    "cut short": (Behaviour(short=FILE), "cut short|peer closed|IncompleteRead"),
}
# A dead mirror is found out before any tool runs, so one tool will do.
CASES = [("uv", case) for case in DEAD] + [(name, case) for case in BROKEN for name in ("pip", "uv")]
CASES += [("poetry", "404 on one wheel"), ("poetry", "cut short")]


@pytest.fixture
def failing(mirror: Unruly, private: tuple[Unruly, Path], request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the address of a mirror that fails as the test asks, and the pattern of the reason."""
    case = request.getfixturevalue("case")
    behaviour, why = (DEAD | BROKEN)[case]
    mirror.behave = behaviour
    addresses = {"refused": f"{refusing(HOST)}/pypi/simple/", "wrong certificate": private[0].pypi}
    return addresses.get(case, mirror.pypi), why


@pytest.mark.parametrize(("name", "case"), CASES)
def test_falls_back_to_upstream(
    tool: Callable[[str], Tool], failing: tuple[str, str], mirror: Unruly, name: str, case: str
) -> None:
    url, why = failing
    # Poetry without its mirror asks PyPI's JSON API: whether there is one is not what this is about.
    upstream = {"POETRY_PYPI_MIRROR_URL": index_environment()["PYPI_MIRROR"]} if name == "poetry" else {}
    installer = tool(name)
    done = installer(url, **upstream)
    assert done.returncode == 0, done.stderr
    assert installer.installed
    said = lines(done, f"{url} failed (", "trying again on upstream")
    assert len(said) == 1, done.stderr
    assert re.search(why, said[0])
    assert installer.seconds < SECOND_LIMIT / 2, case
    assert mirror.requests or case in ("refused", "silent", "wrong certificate")


@pytest.mark.parametrize(("name", "case"), CASES)
def test_without_fallback_fails_and_says_what_to_do(
    tool: Callable[[str], Tool], failing: tuple[str, str], name: str, case: str
) -> None:
    url, why = failing
    installer = tool(name)
    done = installer(url, MIRROR_FALLBACK="0")
    assert done.returncode == 1, case
    assert installer.seconds < SECOND_LIMIT
    said = lines(done, f"{url} failed (", "giving up")
    assert len(said) == 1, done.stderr
    assert re.search(why, said[0])
    assert re.search("annotated[-_]types", said[0])
    assert lines(done, "upstream was not asked (MIRROR_FALLBACK=0)", "PYPI_MIRROR", "make doctor")
    assert not installer.installed


@pytest.mark.parametrize("lying", [False, True], ids=["honest page", "lying page"])
@pytest.mark.parametrize("name", ["pip", "uv", "poetry"])
def test_altered_wheel_is_an_incident(tool: Callable[[str], Tool], mirror: Unruly, name: str, lying: bool) -> None:
    mirror.behave = Behaviour(altered=FILE, lying=lying)
    installer = tool(name)
    done = installer(mirror.pypi)
    if name == "poetry" and lying:
        # Poetry passes over a wheel whose hash it does not know, and builds the source archive that is locked as well.
        assert STOWAWAY not in {path.name for path in installer.folder.rglob("*")}
        return
    assert done.returncode == 3, done.stderr
    assert lines(done, "STOP: annotated-types", "not the file that was locked")
    assert lines(done, "served by", mirror.pypi)
    locked, served = lines(done, "  locked "), lines(done, "  served     ")
    assert set(re.findall("[0-9a-f]{64}", locked[0])) <= set(re.findall("[0-9a-f]{64}", installer_hashes(installer)))
    assert re.findall("[0-9a-f]{64}", served[0])
    assert served[0].split()[-1] not in installer_hashes(installer)
    assert not lines(done, "trying again")
    assert not installer.installed


def installer_hashes(installer: Tool) -> str:
    return (installer.folder / "wanted.txt").read_text()


def test_altered_build_backend_is_an_incident(bake: Bake, mirror: Unruly, tmp_path: Path) -> None:
    """A package without a wheel is built with a backend that is pinned as well, in the image that has a compiler."""
    project = bake(build_image="full", service_type="worker")
    dockerfile = project.read("Dockerfile")
    options = re.findall(r"uv pip sync .*?/docker/build-backends\.txt", dockerfile, re.S)
    assert len(options) == 1
    assert "build-backends" not in bake(build_image="slim").read("Dockerfile")
    page = mirror.fetch("/pypi/simple/docopt/")[2].decode()
    digest = re.findall(r"docopt-0\.6\.2\.tar\.gz#sha256=(\w+)", page)[0]
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"docopt==0.6.2 --hash=sha256:{digest}\n")
    words = options[0].replace("\\\n", " ").replace("/docker/requirements.txt", str(wanted)).split()
    command = [word.replace("/docker/", f"{project.path}/docker/") for word in words] + ["--no-cache"]
    run("uv", "venv", "-q", tmp_path / "venv")
    env = {"PYPI_MIRROR": mirror.pypi, "SSL_CERT_FILE": lab()["LAB_CA"], "MIRROR_FALLBACK": "0"}
    env["VIRTUAL_ENV"] = str(tmp_path / "venv")
    through = (sys.executable, project.path / "docker/mirror.py", "index", *command)
    version = re.findall(r"(?m)^setuptools==(\S+)", project.read("docker/build-backends.txt"))[0]
    mirror.behave = Behaviour(altered=f"setuptools-{version}-*.whl")
    done = run(*through, env=env, check=False)
    assert done.returncode == 3, done.stderr
    assert lines(done, "STOP: setuptools==")
    mirror.behave = GOOD
    run(*through, env=env)
    assert list(tmp_path.glob("venv/lib/*/site-packages/docopt.py"))


def test_altered_wheel_would_be_installed_without_hashes(mirror: Unruly, tmp_path: Path) -> None:
    """The altered wheel is a working one: nothing but its hash gives it away."""
    mirror.behave = Behaviour(altered=FILE, lying=True)
    env = {"UV_DEFAULT_INDEX": mirror.pypi, "SSL_CERT_FILE": lab()["LAB_CA"]}
    run("uv", "pip", "install", "-q", "--no-cache", "--target", tmp_path, PACKAGE, env=env)
    assert (tmp_path / STOWAWAY).exists()


def test_plain_http_works_and_says_so(tool: Callable[[str], Tool], plain: Unruly) -> None:
    for name in ("pip", "uv"):
        installer = tool(name)
        plain.behave = Behaviour(altered=FILE)
        assert installer(plain.pypi).returncode == 3
        plain.behave = GOOD
        done = installer(plain.pypi, MIRROR_FALLBACK="0")
        assert done.returncode == 0, done.stderr
        assert lines(done) == [f"mirror: {plain.pypi} is plain http: hashes and signatures decide what is accepted"]


@pytest.mark.parametrize("entry", [f"machine {HOST}", "default"])
def test_plain_http_with_credentials_is_refused(tool: Callable[[str], Tool], plain: Unruly, entry: str) -> None:
    plain.behave, installer = GOOD, tool("uv")
    plain.requests.clear()
    (installer.folder / "netrc").write_text(f"{entry} login {USER} password {PASSWORD}\n")
    done = installer(plain.pypi)
    assert done.returncode == 2
    assert lines(done, "plain http", "credentials", "use https")
    assert PASSWORD not in done.stdout + done.stderr
    assert not plain.requests
    # Those for another host are no reason.
    (installer.folder / "netrc").write_text(f"machine example.com login {USER} password {PASSWORD}\n")
    assert installer(plain.pypi).returncode == 0


@pytest.mark.parametrize("name", ["pip", "uv", "poetry"])
def test_credentials_from_netrc(tool: Callable[[str], Tool], mirror: Unruly, name: str) -> None:
    mirror.behave = Behaviour(credentials=f"{USER}:{PASSWORD}")
    installer = tool(name)
    (installer.folder / "netrc").write_text(f"machine {HOST} login {USER} password {PASSWORD}\n")
    done = installer(mirror.pypi, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stderr
    assert installer.installed
    assert PASSWORD not in done.stdout + done.stderr


def test_wrong_settings_are_refused(tool: Callable[[str], Tool], mirror: Unruly) -> None:
    installer = tool("uv")
    for variable in ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"):
        done = installer(mirror.pypi, **{variable: HOST})
        assert done.returncode == 2
        assert lines(done, variable, "certificate checks", mirror.pypi)
    for url in ("mirror.example.com/simple", "ftp://mirror.example.com/", "https:///simple/"):
        done = installer(url)
        assert done.returncode == 2
        assert lines(done, "PYPI_MIRROR is", "https://host/path")
    done = installer(f"https://{USER}:{PASSWORD}@{HOST}/simple/")
    assert done.returncode == 2
    assert lines(done, "PYPI_MIRROR holds credentials", "netrc")
    assert PASSWORD not in done.stderr
    (installer.folder / "netrc").write_text(f"machin {HOST}\n")
    done = installer(mirror.pypi)
    assert done.returncode == 2
    assert lines(done, "netrc", "can't be read")
    (installer.folder / "netrc").unlink()
    done = installer(mirror.pypi, MIRROR_FALLBACK="no")
    assert done.returncode == 2
    assert lines(done, "MIRROR_FALLBACK is 'no'", "0")
    conf = f"[global]\nindex-url = {mirror.pypi}\n"
    for line, word in {
        f"trusted-host = {HOST}": "certificate checks",
        "extra-index-url = https://x.example.com": "extra",
    }.items():
        installer.project.write("docker/pip.conf", f"{conf}{line}\n")
        done = installer(None)
        assert done.returncode == 2
        assert lines(done, "docker/pip.conf", word)
    assert not mirror.requests
    installer.project.write("docker/pip.conf", conf)
    assert installer(None).returncode == 0
    assert mirror.requests


@pytest.mark.parametrize("case", ["cut short", "altered"])
def test_oldest_and_newest_pip_of_the_base_images(bake: Bake, engine: Engine, mirror: Unruly, case: str) -> None:
    """Only newer ones notice that a download was cut short; what an older one says then looks like an altered file."""
    project = bake()
    mirror.behave = Behaviour(short="uv-*.whl") if case == "cut short" else Behaviour(altered="uv-*.whl")
    for version in {min(engine.suites, key=number), max(engine.suites, key=number)}:
        install = ["pip", "install", "--no-cache-dir", "--no-deps", "--require-hashes", "-r", "/docker/uv.txt"]
        done = in_base_image(engine, project, version, "index", *install, PYPI_MIRROR=mirror.pypi, MIRROR_FALLBACK="0")
        assert done.returncode == (1 if case == "cut short" else 3), done.stderr
        assert bool(lines(done, "STOP: uv==")) == (case == "altered")


def number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def in_base_image(engine: Engine, project: Project, version: str, *arguments: str, **env: str) -> Run:
    """Run `docker/mirror.py` of a project in a base image, on this machine's network."""
    variables = [f"--env={name}={value}" for name, value in env.items()]
    return engine.docker(
        *("run", "--rm", "--network", "host", "--volume", f"{project.path}/docker:/docker:ro", *variables),
        *(f"python:{version}-slim-{engine.suites[version]}", "python", "-B", "/docker/mirror.py", *arguments),
        check=False,
    )


# --- Debian -----------------------------------------------------------------------------------------------------------


DEB = "tree_*.deb"
DEAD_ARCHIVE = {
    "refused": (GOOD, "Connection refused"),
    "hangs": (Behaviour(hang=True), "no answer in 7 s"),
    "login page": (Behaviour(login=True), "no signed list"),
    "stale pool": (Behaviour(missing=DEB), "404"),
    "expired": (GOOD, "expired|not valid"),
    "bad signature": (Behaviour(forged=True), "manipulated|signature|is not signed"),
    "altered package": (Behaviour(garbled=DEB), "[Hh]ash|size"),
}


@pytest.fixture
def apt(bake: Bake, engine: Engine) -> Callable[..., Run]:
    """Return a function that installs `tree` in a base image, then says so."""
    project = bake()
    project.write("docker/list.txt", "tree\n")
    version = "3.13" if "3.13" in engine.suites else next(iter(engine.suites))

    def apt(url: str, **env: str) -> Run:
        if env.pop("expire", ""):
            text = project.read("docker/debian.sources")
            # What the archive's own end date does, which in a frozen copy of it may have passed for upstream, too.
            project.write("docker/debian.sources", text + "Check-Valid-Until: yes\nValid-Until-Max: 1\n")
        return in_base_image(engine, project, version, "apt", "/docker/list.txt", DEBIAN_MIRROR=url, **env)

    return apt


@pytest.mark.parametrize("case", DEAD_ARCHIVE)
def test_apt_falls_back(apt: Callable[..., Run], mirror: Unruly, case: str) -> None:
    mirror.behave, why = DEAD_ARCHIVE[case]
    url = f"{refusing(HOST)}/debian" if case == "refused" else mirror.debian
    begin = time.monotonic()
    done = apt(url, expire="yes" if case == "expired" else "")
    said = lines(done, f"{url} failed (", "trying again on upstream")
    assert len(said) == 1, done.stderr
    assert re.search(why, said[0])
    assert done.returncode == 0, done.stderr
    upstream = done.stderr.partition("trying again on upstream")[2]
    assert "Setting up tree" in upstream
    assert "Setting up tree" not in done.stderr.replace(upstream, "")
    assert f"{url} " not in upstream
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("case", ["refused", "bad signature"])
def test_apt_without_fallback(apt: Callable[..., Run], mirror: Unruly, case: str) -> None:
    mirror.behave, why = DEAD_ARCHIVE[case]
    url = f"{refusing(HOST)}/debian" if case == "refused" else mirror.debian
    done = apt(url, MIRROR_FALLBACK="0")
    assert done.returncode == 1
    assert re.search(why, lines(done, f"{url} failed (", "giving up")[0])
    assert lines(done, "DEBIAN_MIRROR", "make doctor")
    assert "Setting up tree" not in done.stderr


def test_apt_takes_main_from_the_mirror_and_security_never(apt: Callable[..., Run], mirror: Unruly) -> None:
    done = apt(mirror.debian, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stderr
    assert "Setting up tree" in done.stderr
    assert not lines(done)
    assert any("/pool/main/t/tree/" in path for path in mirror.requests)
    assert not [path for path in mirror.requests if "security" in path]
    assert re.search(r"(?m)^(?:Get|Hit):\d+ (?!https://localhost)\S+ \w+-security InRelease", done.stderr)


def test_apt_refuses_unchecked_sources(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    project = bake()
    project.write("docker/list.txt", "tree\n")
    project.write("docker/debian.sources", project.read("docker/debian.sources") + "Trusted: yes\n")
    version = next(iter(engine.suites))
    done = in_base_image(engine, project, version, "apt", "/docker/list.txt", DEBIAN_MIRROR=mirror.debian)
    assert done.returncode == 2
    assert lines(done, "Trusted: yes", "signature checks")
    assert not mirror.requests


# --- whole builds -----------------------------------------------------------------------------------------------------

COLD = ("--no-cache-filter", "tools,deps")


def to(mirror: Unruly | None, **more: str) -> list[str]:
    """Return the build arguments that set both mirrors (None: upstream)."""
    values = {"PYPI_MIRROR": mirror.pypi if mirror else "", "DEBIAN_MIRROR": mirror.debian if mirror else "", **more}
    return [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]


def test_build_arguments_turn_it_on_off_and_elsewhere(bake: Bake, engine: Engine, mirror: Unruly) -> None:
    stage = ("--target", "tools", "--no-cache-filter", "tools")
    for chosen in CHOICES["mirror"]:
        project = bake(mirror=chosen)
        before = Path(lab()["LAB_MIRROR_LOG"]).read_text().count('"pip/')
        engine.build(project, *stage, *to(mirror, MIRROR_FALLBACK="0"))
        assert [path for path in mirror.requests if "/uv-" in path], chosen
        mirror.requests.clear()
        engine.build(project, *stage, *to(None))
        assert not mirror.requests
        assert Path(lab()["LAB_MIRROR_LOG"]).read_text().count('"pip/') == before, "asked the mirror of the project"


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
    _, done = engine.build(project, "--no-cache-filter", "tools,deps,runtime", *to(mirror))
    # The engine prints before each line how many seconds its step has been running: at the last one, lost at most.
    lost = re.findall(r"(?m)^#(\d+ [\d.]+) mirror: (\S+) failed .*no answer.*trying again on upstream", done.stderr)
    assert [url for _, url in lost].count(mirror.pypi) == 3, done.stderr  # pip, uv twice
    assert [url for _, url in lost].count(mirror.debian) == 1, done.stderr  # in a stage of its own, beside those

    def seconds(url: str) -> float:
        return sum({step: float(passed) for step, passed in (when.split() for when, of in lost if of == url)}.values())

    assert seconds(mirror.pypi) < SECOND_LIMIT, lost
    assert seconds(mirror.debian) < SECOND_LIMIT / 2, lost


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


# --- the developer's machine ------------------------------------------------------------------------------------------


def test_install_and_lock_go_through_the_mirror(bake: Bake, mirror: Unruly, tmp_path: Path) -> None:
    version, python = next(iter(interpreters().items()))
    project = bake(python_version=version, service_type="worker")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + Path(lab()["LAB_CA"]).read_bytes())
    env = {
        "PYTHON": str(python),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "SSL_CERT_FILE": str(bundle),
        "POETRY_CACHE_DIR": str(tmp_path / "cache"),
    }
    through = {**env, "PYPI_MIRROR": mirror.pypi, "MIRROR_FALLBACK": "0", "UV_NO_CACHE": "1"}
    project.make("install", env=through)
    served = {path.rsplit("/", 1)[1].split("-")[0] for path in mirror.requests if path.endswith(".whl")}
    assert served >= {"uv", "poetry", "poetry_core", "pydantic", "ruff"}

    shipped = project.read("poetry.lock")
    declared = project.read("pyproject.toml")
    locks = []
    for index in (mirror.pypi, index_environment()["PYPI_MIRROR"]):
        (project.path / "poetry.lock").unlink()
        mirror.requests.clear()
        project.make("lock", env={**through, "PYPI_MIRROR": index})
        assert bool(mirror.requests) == (index == mirror.pypi)
        locks.append(project.read("poetry.lock"))
    assert locks[0] == locks[1]
    for text in (*locks, shipped, declared):
        assert HOST not in text
        assert "[package.source]" not in text
    assert project.read("pyproject.toml") == declared

    # A mirror that fails is not replaced by upstream: nothing would tell whose package that is.
    dead = f"{refusing(HOST)}/pypi/simple/"
    with recording_proxy() as (proxy, hosts):
        cut_off = {**env, "HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": HOST, "no_proxy": HOST}
        done = project.make("lock", env={**cut_off, "PYPI_MIRROR": dead}, check=False)
    assert done.returncode != 0
    assert lines(done, dead, "refused", "giving up")
    assert not hosts

    # Unless told otherwise, Poetry asks upstream itself: the host that pip has for its default, through no mirror.
    (project.path / "poetry.lock").unlink()
    mirror.requests.clear()
    with recording_proxy() as (proxy, hosts):
        env |= {"HTTPS_PROXY": proxy, "https_proxy": proxy, "POETRY_CACHE_DIR": str(tmp_path / "nothing-cached")}
        assert project.make("lock", env=env, check=False).returncode != 0  # this proxy lets nothing through
    assert hosts == {upstream_host()}
    assert not mirror.requests


def upstream_host() -> str:
    """Return the host of the package index that pip uses when nothing is set."""
    told = run(sys.executable, "-m", "pip", "--isolated", "download", "--help", env={"COLUMNS": "500"}).stdout
    found = re.search(r"--index-url <url>.*?\(default https?://([^/:)]+)", told, re.DOTALL)
    assert found, told
    return found[1]


@contextlib.contextmanager
def recording_proxy() -> Iterator[tuple[str, set[str]]]:
    """Run a proxy that refuses every connection; yield its address and the hosts that it was asked for."""
    hosts: set[str] = set()

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if asked := re.match(rb"CONNECT ([^:]+):", connection.recv(4096)):
                    hosts.add(asked[1].decode())
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", hosts
        listener.shutdown(socket.SHUT_RDWR)


def test_poetry_works_without_its_mirror_plugin(bake: Bake) -> None:
    """A project asks for no plugin, so anybody's Poetry can use it, and goes to upstream by itself."""
    project = bake()
    plain_poetry = ("poetry", "--no-plugins")
    assert "All set!" in run(*plain_poetry, "check", "--lock", cwd=project.path).stdout
    with recording_proxy() as (proxy, hosts):
        locking = (*POETRY, "--no-plugins", "lock", "--regenerate")
        run(*locking, cwd=project.path, env={"HTTPS_PROXY": proxy, "https_proxy": proxy}, check=False)
    assert hosts == {upstream_host()}
