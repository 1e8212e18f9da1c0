"""Vision: heavy packages, one of them from a second index, and a library that wants a home for its cache."""

import re
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import pytest

from tests.helpers import services
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import PYTHON, Engine, healthcheck, stop, until
from tests.helpers.machine import index_environment, unavailable
from tests.helpers.project import Project
from tests.services.conftest import Scaffold

# What the second index has: an older version of packages that the usual index has as well.
OLDER = {"pillow": "12.0.0", "numpy": "2.3.4"}
SOURCE = """
[tool.poetry.dependencies]
pillow = { source = "older" }

[[tool.poetry.source]]
name = "older"
url = "%s"
priority = "explicit"
"""
# Five packages that weigh more than a default service, and take longer to import.
TERMS = {
    "venv = 45": "venv = 400",
    'memory = "128m"': 'memory = "512m"',
    "start-seconds = 5": "start-seconds = 20",
}
GREY = b"P5 8 8 255\n" + bytes(range(64))  # a picture in the format PGM


class OlderIndex(BaseHTTPRequestHandler):
    """The second index; its files come from the mirror."""

    def do_GET(self) -> None:
        """Answer with the page of a package."""
        name = self.path.strip("/").rpartition("/")[2]
        if name not in OLDER:
            self.send_error(404)
            return
        page = urljoin(index_environment()["PYPI_MIRROR"], f"{name}/")
        with urllib.request.urlopen(page) as answer:
            links = re.findall(rf'href="([^"]+/{name}-{OLDER[name]}-[^"]+\.whl#[^"]+)"', answer.read().decode())
        urls = [urljoin(page, link) for link in links]
        body = "".join(f'<a href="{url}">{url.rpartition("/")[2].partition("#")[0]}</a>\n' for url in urls)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def older() -> Iterator[str]:
    """The address of the second index."""
    if not index_environment()["PYPI_MIRROR"]:
        unavailable("the second index has the files of the lab's mirror")
    with ThreadingHTTPServer(("127.0.0.1", 0), OlderIndex) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()


@pytest.fixture(scope="module")
def project(scaffold: Scaffold, older: str) -> Project:
    """The project, as its team has it."""
    project = scaffold("vision", service_type="fastapi")
    project.append("pyproject.toml", SOURCE % older)
    for old, new in TERMS.items():
        project.replace("pyproject.toml", old, new)
    services.finish(project, "matplotlib>=3.10,<4", "numpy>=2,<3", "opencv-python-headless>=4,<5", "pillow<13")
    return project


@pytest.fixture(scope="module")
def image(project: Project, engine: Engine) -> str:
    """Its image."""
    return engine.build(project, "--build-arg", "VERSION=0.1.0")[0]


def test_the_project_passes_its_own_checks(project: Project) -> None:
    services.check(project)


def test_the_contract(project: Project, image: str) -> None:
    assert red(table(judge(project, image))) == {}


def test_packages_come_from_the_index_that_they_are_taken_from(image: str, engine: Engine) -> None:
    """And from the usual one, although the second one has an older version."""
    source = "from importlib.metadata import version; print(version('pillow'), version('numpy'))"
    pillow, numpy = engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", source).stdout.split()
    assert pillow == OLDER["pillow"]
    assert numpy != OLDER["numpy"]


@pytest.mark.parametrize("user", ["10001:10001", "1000660000:0"])
def test_a_library_keeps_its_cache_and_says_nothing(image: str, engine: Engine, user: str) -> None:
    container = engine.start("--publish", "127.0.0.1::8000", "--user", user, image)
    until(lambda: healthcheck(engine, container))
    for path in ("edges", "histogram"):
        with urllib.request.urlopen(f"http://{engine.published(container)}/{path}", GREY) as answer:
            assert answer.read().startswith(b"\x89PNG")
    assert "fontlist" in engine.docker("exec", container, "ls", "/tmp/.cache/matplotlib").stdout
    assert stop(engine, container) == 0
    said = {line["message"] for line in engine.logged(container) if line["level"] != "INFO"}
    assert said <= {"Matplotlib is building the font cache; this may take a moment."}  # on a busy machine


@pytest.mark.parametrize("user", ["10001:10001", "1000660000:0"])
def test_the_user_has_a_name_and_a_home(image: str, engine: Engine, user: str) -> None:
    options = ("--read-only", "--tmpfs", "/tmp", "--user", user, "--entrypoint", PYTHON)
    source = "import getpass, pathlib as p; (p.Path.home() / 'x').touch(); print(getpass.getuser(), p.Path.home())"
    done = engine.docker("run", "--rm", *options, image, "-c", source)
    assert done.stdout.split() == ["service", "/tmp"]


def test_an_update_of_the_template(project: Project) -> None:
    services.update(project)
