"""The mirror switch with one tool: pip or uv through tools/image/mirror.py, against a mirror that fails."""

import functools
import re
import shutil
import threading
import urllib.request
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.helpers.engine import Engine
from tests.helpers.machine import index_environment
from tests.helpers.mirror import FILE, HOST, PACKAGE, PASSWORD, USER, Tool, in_base_image, lines
from tests.helpers.project import Bake, add_dependency, lock_script, relock
from tests.lab.unruly import GOOD, STOWAWAY, Behaviour, Unruly, refusing

# How the mirror fails, and how often it may be asked in vain: once for the page, once for the file.
FAULTS = {
    "refused": (GOOD, 0),
    "silent": (Behaviour(silent=True), 0),
    "wrong certificate": (GOOD, 0),
    "hangs": (Behaviour(hang=True), 1),
    "403": (Behaviour(status=403), 1),
    "503": (Behaviour(status=503), 1),
    "login page": (Behaviour(login=True), 1),
    "wants credentials": (Behaviour(credentials="a:b"), 1),
    "stale page": (Behaviour(stale=PACKAGE.replace("-", "_") + "-*"), 1),
    "404 on the file": (Behaviour(missing=FILE), 4),
    "silent in the file": (Behaviour(late=FILE), 4),
    "cut short": (Behaviour(short=FILE), 4),
}
TOOLS = ("pip", "uv")


@pytest.fixture
def failing(mirror: Unruly, private: tuple[Unruly, Path], request: pytest.FixtureRequest) -> str:
    """Return the address of a mirror that fails as the test asks."""
    case = request.getfixturevalue("case")
    mirror.behave, _ = FAULTS[case]
    return {"refused": f"{refusing(HOST)}/pypi/simple/", "wrong certificate": private[0].pypi}.get(case, mirror.pypi)


# To pip before 25.1, which this machine may have, a file that was cut short has a wrong hash: see below.
@pytest.mark.parametrize(("name", "case"), [pair for pair in product(TOOLS, FAULTS) if pair != ("pip", "cut short")])
def test_what_fails_is_run_again_on_upstream(
    tool: Callable[[str], Tool], failing: str, mirror: Unruly, name: str, case: str
) -> None:
    installer = tool(name)
    done = installer(failing)
    assert done.returncode == 0, done.stderr
    assert installer.installed
    assert lines(done) == [f"mirror: {failing} failed: its message is above; trying again on upstream"]
    assert done.stderr.partition("mirror: ")[0].strip(), "the tool has said nothing"
    assert len(mirror.requests) <= FAULTS[case][1], mirror.requests


@pytest.mark.parametrize("case", FAULTS)
def test_without_fallback_it_fails_and_says_where_the_address_is_from(
    tool: Callable[[str], Tool], failing: str, case: str
) -> None:
    installer = tool("uv")
    done = installer(failing, MIRROR_FALLBACK="0", MIRROR_TIMEOUT="1")
    assert done.returncode == 1, case
    assert lines(done, f"{failing} failed: its message is above; giving up")
    assert lines(done, "nothing else may be asked (MIRROR_FALLBACK=0)", "PYPI_MIRROR", "make doctor")
    assert not installer.installed


@pytest.mark.parametrize("lying", [False, True], ids=["honest page", "lying page"])
@pytest.mark.parametrize("name", TOOLS)
def test_altered_wheel_stops_everything(tool: Callable[[str], Tool], mirror: Unruly, name: str, lying: bool) -> None:
    mirror.behave = Behaviour(altered=FILE, lying=lying)
    installer = tool(name)
    done = installer(mirror.pypi, UV_NO_VERIFY_HASHES="1")
    assert done.returncode == 3, done.stderr
    assert lines(done, f"STOP: {mirror.pypi} served a file with another hash")
    assert PACKAGE in done.stderr
    assert not lines(done, "trying again")
    assert not installer.installed


@pytest.mark.parametrize("name", TOOLS)
def test_damaged_wheel_is_never_installed(tool: Callable[[str], Tool], mirror: Unruly, name: str) -> None:
    """To uv, which unpacks while it downloads, that is an outage; to pip, which compares first, a wrong hash."""
    mirror.behave = Behaviour(garbled=FILE)
    installer = tool(name)
    done = installer(mirror.pypi, MIRROR_FALLBACK="0")
    assert done.returncode == {"pip": 3, "uv": 1}[name], done.stderr
    assert not installer.installed


def test_altered_wheel_would_be_installed_without_hashes(tool: Callable[[str], Tool], mirror: Unruly) -> None:
    """The altered wheel is a working one: nothing but its hash gives it away."""
    mirror.behave = Behaviour(altered=FILE, lying=True)
    installer = tool("uv")
    wanted = installer.folder / "requirements.txt"
    wanted.write_text(wanted.read_text().partition(" ")[0] + "\n")
    assert installer(mirror.pypi, UV_REQUIRE_HASHES="0").returncode == 1  # our command asks for hashes
    installer.options = ()
    assert installer(mirror.pypi).returncode == 0
    assert list(installer.folder.rglob(STOWAWAY))


@pytest.mark.parametrize("name", TOOLS)
def test_a_slow_mirror_is_waited_for(tool: Callable[[str], Tool], mirror: Unruly, name: str) -> None:
    """One that has to fetch a file first: where nothing else may be asked, or as long as is set."""
    mirror.behave = Behaviour(late=FILE)
    for settings in ({"MIRROR_FALLBACK": "0"}, {"MIRROR_TIMEOUT": "300"}):
        installer = tool(name)
        done = installer(mirror.pypi, **settings)
        assert done.returncode == 0, done.stderr
        assert not lines(done)


def test_plain_http_is_as_safe(tool: Callable[[str], Tool], plain: Unruly) -> None:
    for name in TOOLS:
        installer = tool(name)
        plain.behave = Behaviour(altered=FILE)
        assert installer(plain.pypi).returncode == 3
        plain.behave = GOOD
        assert installer(plain.pypi, MIRROR_FALLBACK="0").returncode == 0


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


@pytest.mark.parametrize("name", TOOLS)
def test_credentials_from_netrc(tool: Callable[[str], Tool], mirror: Unruly, name: str) -> None:
    mirror.behave = Behaviour(credentials=f"{USER}:{PASSWORD}")
    installer = tool(name)
    (installer.folder / "netrc").write_text(f"machine {HOST} login {USER} password {PASSWORD}\n")
    done = installer(mirror.pypi, MIRROR_FALLBACK="0")
    assert done.returncode == 0, done.stderr
    assert installer.installed
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("name", TOOLS)
def test_credentials_reach_no_other_host(tool: Callable[[str], Tool], mirror: Unruly, plain: Unruly, name: str) -> None:
    """A page may link to anything, for instance in plain http to a host that has credentials."""
    other = f"127.0.0.1:{plain.server.server_port}"
    mirror.behave, plain.behave = Behaviour(links=f"http://{other}"), GOOD
    plain.requests.clear()
    plain.tokens.clear()
    installer = tool(name)
    netrc = "".join(f"machine {host} login {USER} password {PASSWORD}\n" for host in (HOST, "127.0.0.1"))
    (installer.folder / "netrc").write_text(netrc)
    installer(mirror.pypi, MIRROR_FALLBACK="0", PIP_TRUSTED_HOST=other)
    assert [path for path in plain.requests if path.endswith(".whl")] or name == "pip"  # which takes no http from https
    assert not plain.tokens


def test_the_proxy_is_named(tool: Callable[[str], Tool]) -> None:
    proxy = refusing(HOST).replace("https://", "http://user:secret@")
    settings = {"HTTPS_PROXY": proxy, "MIRROR_FALLBACK": "0", "NO_PROXY": "10.0.0.0/8"}
    done = tool("uv")("https://mirror.example.com/simple/", **settings)
    assert lines(done, "asked through the proxy", proxy.replace("user:secret@", ""))
    assert not lines(done, "secret")
    done = tool("uv")(f"{refusing(HOST)}/simple/", **settings | {"NO_PROXY": HOST})
    assert not lines(done, "proxy")


def test_wrong_settings_are_refused(tool: Callable[[str], Tool], mirror: Unruly) -> None:
    installer = tool("uv")
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
    for name, value, allowed in (("MIRROR_FALLBACK", "no", "1 or 0"), ("MIRROR_TIMEOUT", "soon", "seconds")):
        done = installer(mirror.pypi, **{name: value})
        assert done.returncode == 2
        assert lines(done, f"{name} is {value!r}; allowed: {allowed}")
    conf = f"[global]\nindex-url = {mirror.pypi}\n"
    for line in (f"trusted-host = {HOST}", "extra-index-url = https://x.example.com"):
        installer.project.write("docker/pip.conf", f"{conf}{line}\n")
        done = installer(None)
        assert done.returncode == 2
        assert lines(done, "docker/pip.conf", line.partition(" ")[0], "remove the rest")
    assert not mirror.requests
    installer.project.write("docker/pip.conf", conf)
    assert installer(None).returncode == 0
    assert mirror.requests


def test_settings_of_the_machine_change_nothing(
    tool: Callable[[str], Tool], private: tuple[Unruly, Path], tmp_path: Path
) -> None:
    """Neither where packages go, nor that certificates are checked."""
    settings = {"PIP_USER": "1", "PIP_TARGET": str(tmp_path / "x"), "PIP_PREFIX": str(tmp_path / "x")}
    settings |= {"UV_EXCLUDE_NEWER": "2001-01-01", "UV_OFFLINE": "1", "UV_SYSTEM_PYTHON": "1"}
    settings |= {"PIP_TRUSTED_HOST": HOST, "UV_INSECURE_HOST": HOST}
    (tmp_path / "constraints").write_text(f"{PACKAGE}==0.6.0\n")
    settings |= dict.fromkeys(("PIP_CONSTRAINT", "UV_CONSTRAINT", "UV_OVERRIDE"), str(tmp_path / "constraints"))
    for name in TOOLS:
        installer = tool(name)
        done = installer("", **settings)
        assert done.returncode == 0, done.stderr
        assert installer.installed
        assert tool(name)(private[0].pypi, MIRROR_FALLBACK="0", **settings).returncode == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("page", ["index", "flat page"])
def test_a_list_with_its_own_source_asks_no_other(
    tool: Callable[[str], Tool], mirror: Unruly, plain: Unruly, page: str
) -> None:
    plain.behave = GOOD
    plain.requests.clear()
    installer = tool("uv")
    wanted = installer.folder / "requirements.txt"
    first = f"--index-url {plain.pypi}" if page == "index" else f"--no-index --find-links {plain.pypi}{PACKAGE}/"
    wanted.write_text(f"{first}\n{wanted.read_text()}")
    done = installer(mirror.pypi)
    assert done.returncode == 0, done.stderr
    assert plain.requests
    assert not mirror.requests
    plain.behave = Behaviour(status=503)
    assert tool("uv").folder == installer.folder
    wanted.write_text(f"{first}\n{wanted.read_text()}")
    done = installer(mirror.pypi, UV_HTTP_RETRIES="0")
    assert done.returncode == 1
    assert not mirror.requests


SOURCE = """
[tool.poetry.dependencies]
annotated-types = { source = "extra" }

[[tool.poetry.source]]
name = "extra"
url = "%s"
priority = "explicit"
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("page", ["links.html", "simple"])
def test_what_poetry_locks_from_a_page_is_installed(
    bake: Bake, tool: Callable[[str], Tool], tmp_path: Path, page: str
) -> None:
    """From a flat page and from an index, with single quotes and a base; if it fails, the page is named."""
    index = f"{index_environment()['PYPI_MIRROR']}{PACKAGE}/"
    with urllib.request.urlopen(index) as answer:
        (link,) = re.findall(rf'href="([^"]+/{FILE.replace("*", "0.7.0-.*")}#[^"]+)"', answer.read().decode())
    with urllib.request.urlopen(urljoin(index, link)) as answer:
        content = answer.read()
    name = link.rpartition("/")[2]
    project, installer, site = bake(service_type="worker"), tool("uv"), tmp_path / "site"
    serve = functools.partial(Quiet, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        url = f"{host}/{page}"
        (site / "files").mkdir(parents=True)
        (site / "files" / name.partition("#")[0]).write_bytes(content)
        shown = site / page / ("" if page.endswith("html") else f"{PACKAGE}/index.html")
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_text(f"<base href='{host}/files/'><a href='{name}'>x</a>")
        project.append("pyproject.toml", SOURCE % url)
        add_dependency(project, PACKAGE)
        relock(project)
        assert lock_script(project, "--wheels").returncode == 0
        shutil.copy(project.path / "lists/requirements-1.txt", installer.folder / "requirements.txt")
        assert installer(None).returncode == 0
        assert installer.installed
        server.shutdown()
    done = installer(None, UV_HTTP_RETRIES="0")
    assert done.returncode == 1
    assert lines(done, f"mirror: {url} failed: its message is above; giving up")
    assert not lines(done, "upstream")


@pytest.mark.parametrize("case", ["cut short", "altered"])
def test_oldest_and_newest_pip_of_the_base_images(bake: Bake, engine: Engine, mirror: Unruly, case: str) -> None:
    """Only newer ones notice that a download was cut short; to an older one that is a wrong hash."""
    project = bake()
    mirror.behave = Behaviour(short="uv-*.whl") if case == "cut short" else Behaviour(altered="uv-*.whl")
    pins = "/project/tools/pins/uv.txt"
    for version in {min(engine.suites, key=number), max(engine.suites, key=number)}:
        install = ["pip", "install", "--no-cache-dir", "--no-deps", "--require-hashes", "-r", pins]
        done = in_base_image(engine, project, version, "index", *install, PYPI_MIRROR=mirror.pypi, MIRROR_FALLBACK="0")
        notices = case == "cut short" and version == max(engine.suites, key=number)
        assert done.returncode == (1 if notices else 3), done.stderr
        assert bool(lines(done, "cut short")) == (not notices)


def number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
