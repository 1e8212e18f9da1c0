"""The mirror switch with one tool: pip, uv or Poetry through mirror.py in tools/build, and packages.py there."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.engine import Engine
from tests.helpers.machine import index_environment, lab
from tests.helpers.mirror import FILE, HOST, PACKAGE, PASSWORD, USER, Tool, in_base_image, lines
from tests.helpers.project import Bake, build_script, run
from tests.lab.unruly import GOOD, STOWAWAY, Behaviour, Unruly, alter, refusing

VERSION = PACKAGE.replace("-", "_") + "-*"
# What the mirror does, and words of the one line that says why it is given up.
DEAD = {
    "refused": (GOOD, "Connection refused"),
    "silent": (Behaviour(silent=True), "no answer in [71] s"),
    "hangs": (Behaviour(hang=True), "no answer in [71] s"),
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
CASES += [("packages", case) for case in (*DEAD, *BROKEN)]  # which asks for itself


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
    # A dead mirror is asked once, in vain, and a tool begins with nothing.
    assert mirror.requests or case in ("refused", "silent", "wrong certificate")
    assert len(mirror.requests) <= 1 or case in BROKEN


@pytest.mark.parametrize(("name", "case"), CASES)
def test_without_fallback_fails_and_says_what_to_do(
    tool: Callable[[str], Tool], failing: tuple[str, str], name: str, case: str
) -> None:
    url, why = failing
    installer = tool(name)
    if case in ("silent", "hangs"):  # nothing ever answers, so it need not be waited for seven seconds, three times
        installer.project.replace("tools/build/mirror.py", "\nTIMEOUT = 7\n", "\nTIMEOUT = 1\n")
    done = installer(url, MIRROR_FALLBACK="0")
    assert done.returncode == 1, case
    said = lines(done, f"{url} failed (", "giving up")
    assert len(said) == 1, done.stderr
    assert re.search(why, said[0])
    assert re.search("annotated[-_]types", said[0])
    assert lines(done, "upstream was not asked (MIRROR_FALLBACK=0)", "PYPI_MIRROR", "make doctor")
    assert not installer.installed


@pytest.mark.parametrize("lying", [False, True], ids=["honest page", "lying page"])
@pytest.mark.parametrize("name", ["packages", "pip", "uv", "poetry"])
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


@pytest.mark.parametrize("name", ["packages", "pip", "uv", "poetry"])
def test_damaged_wheel_is_an_incident(tool: Callable[[str], Tool], mirror: Unruly, name: str) -> None:
    """uv says that it can't unpack the file, which sounds like an outage."""
    mirror.behave = Behaviour(garbled=FILE)
    installer = tool(name)
    done = installer(mirror.pypi)
    assert done.returncode == 3, done.stderr
    assert lines(done, "STOP: annotated", "not the file that was locked")
    locked, served = lines(done, "  locked "), lines(done, "  served     ")
    assert set(re.findall("[0-9a-f]{64}", locked[0])) <= set(re.findall("[0-9a-f]{64}", installer_hashes(installer)))
    assert re.findall("[0-9a-f]{64}", served[0])
    assert not lines(done, "trying again")
    assert not installer.installed


def test_what_lies_in_the_cache_is_not_believed(tool: Callable[[str], Tool], mirror: Unruly) -> None:
    """All builds of a project share it, and one of them may have run anything."""
    installer = tool("packages")
    assert installer(mirror.pypi).returncode == 0
    (cached,) = installer.folder.glob("files/*/*.whl")
    locked = cached.read_bytes()
    cached.write_bytes(alter(locked))
    shutil.rmtree(installer.folder / "site")
    done = installer(mirror.pypi)
    assert done.returncode == 0, done.stderr
    assert installer.installed
    assert cached.read_bytes() == locked
    assert not list(installer.folder.rglob(STOWAWAY))


def test_a_failure_that_is_not_the_mirrors_is_told_once(tool: Callable[[str], Tool], mirror: Unruly) -> None:
    installer = tool("poetry")
    pyproject = installer.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("dependencies = [", 'dependencies = ["idna", '))
    done = installer(mirror.pypi)
    assert done.returncode == 1
    assert done.stderr.count("pyproject.toml changed significantly") == 1
    assert not lines(done)


@pytest.mark.quick
@pytest.mark.parametrize(
    "told",
    [
        "Current Python version (3.13.1) is not allowed by the project. Poetry was unable to find a compatible version",
        "Because no versions match, version solving failed.",
        "error: No space left on device (os error 28)",
    ],
)
def test_nobody_blames_the_mirror_for_what_is_missing_here(bake: Bake, tmp_path: Path, told: str) -> None:
    env = {"PYPI_MIRROR": "https://mirror.invalid/simple/"}
    done = build_script(bake(), "mirror", "index", "sh", "-c", f"echo '{told}'; exit 4", cwd=tmp_path, **env)
    assert (done.returncode, done.stderr) == (4, f"{told}\n")


@pytest.mark.parametrize("name", ["packages", "pip", "uv", "poetry"])
def test_a_mirror_may_take_its_time_for_a_file(tool: Callable[[str], Tool], mirror: Unruly, name: str) -> None:
    """One that has to fetch it first, for instance."""
    mirror.behave = Behaviour(late=FILE)
    installer = tool(name)
    done = installer(mirror.pypi, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stderr
    assert installer.installed


def test_how_long_a_mirror_may_take_can_be_set(tool: Callable[[str], Tool], mirror: Unruly) -> None:
    mirror.behave = Behaviour(late=FILE)
    done = tool("pip")(mirror.pypi, MIRROR_TIMEOUT="2")
    assert done.returncode == 0, done.stderr
    assert lines(done, f"{mirror.pypi} failed (", "trying again on upstream")
    done = tool("pip")(mirror.pypi, MIRROR_TIMEOUT="soon")
    assert done.returncode == 2
    assert lines(done, "MIRROR_TIMEOUT is 'soon'; allowed are seconds, from 1 to 3600")


def installer_hashes(installer: Tool) -> str:
    return (installer.folder / "wanted.txt").read_text()


def test_altered_build_backend_is_an_incident(bake: Bake, mirror: Unruly, tmp_path: Path) -> None:
    """A package without a wheel is built with a backend that is pinned as well, in the image that has a compiler."""
    project = bake(build_image="full", service_type="worker")
    (options,) = re.findall(r"uv build [^;]*?(?= \|\| exit)", project.read("Dockerfile"))
    assert "build-backends" not in bake(build_image="slim").read("Dockerfile")
    page = mirror.fetch("/pypi/simple/docopt/")[2].decode()
    (address,) = re.findall(r'"(/pypi/packages/[^"#]+/docopt-0\.6\.2\.tar\.gz)', page)
    archive, wheels = tmp_path / "docopt-0.6.2.tar.gz", tmp_path / "wheels"
    archive.write_bytes(mirror.fetch(address)[2])
    paths = {'"$archive"': str(archive), "wheels": str(wheels)}
    command = [paths.get(word, word) for word in options.replace("\\\n", " ").split()] + ["--no-cache"]
    env = {"PYPI_MIRROR": mirror.pypi, "SSL_CERT_FILE": lab()["LAB_CA"], "MIRROR_FALLBACK": "0"}
    through = (sys.executable, "tools/build/mirror.py", "index", *command)
    version = re.findall(r"(?m)^setuptools==(\S+)", project.read("tools/pins/build-backends.txt"))[0]
    mirror.behave = Behaviour(altered=f"setuptools-{version}-*.whl")
    done = run(*through, cwd=project.path, env=env, check=False)
    assert done.returncode == 3, done.stderr
    assert lines(done, "STOP: setuptools==")
    mirror.behave = GOOD
    run(*through, cwd=project.path, env=env)
    assert [path.name for path in wheels.glob("*.whl")] == ["docopt-0.6.2-py2.py3-none-any.whl"]


def test_altered_wheel_would_be_installed_without_hashes(mirror: Unruly, tmp_path: Path) -> None:
    """The altered wheel is a working one: nothing but its hash gives it away."""
    mirror.behave = Behaviour(altered=FILE, lying=True)
    env = {"UV_DEFAULT_INDEX": mirror.pypi, "SSL_CERT_FILE": lab()["LAB_CA"]}
    run("uv", "pip", "install", "-q", "--no-cache", "--target", tmp_path, PACKAGE, env=env)
    assert (tmp_path / STOWAWAY).exists()


def test_plain_http_works_and_says_so(tool: Callable[[str], Tool], plain: Unruly) -> None:
    for name in ("packages", "pip", "uv"):
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


@pytest.mark.parametrize("name", ["packages", "pip", "uv", "poetry"])
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
    pins = "/project/tools/pins/uv.txt"
    for version in {min(engine.suites, key=number), max(engine.suites, key=number)}:
        install = ["pip", "install", "--no-cache-dir", "--no-deps", "--require-hashes", "-r", pins]
        done = in_base_image(engine, project, version, "index", *install, PYPI_MIRROR=mirror.pypi, MIRROR_FALLBACK="0")
        assert done.returncode == (1 if case == "cut short" else 3), done.stderr
        assert bool(lines(done, "STOP: uv==")) == (case == "altered")


def number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
