"""Files: a C library needed at import, large uploads, a program of its own, data beside the code and outside src.

It is also the one with every exception that a team may need, all in one image.
"""

import contextlib
import hashlib
import http.client
import json
import tomllib
from collections.abc import Iterator

import pytest

from tests.helpers import services
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import Engine, call, stop
from tests.helpers.project import Project
from tests.helpers.servers import debian
from tests.services.conftest import Scaffold

NO_TOOL, LABELS = "files: no tool, package manager or cache", "labels: true to the project"
# What the team changes in pyproject.toml.
EDITS = {
    '\nversion = "0.1.0"\n': '\ndynamic = ["version"]\n',
    '    { include = "service_runtime", from = "src" },\n]\n': '    { include = "service_runtime", from = "src" },\n]\n'
    'version = "2.0"\n',
    "\nextras = []\n": '\nextras = ["sorted"]\n',
    '\ntmp = "64m"\n': '\ntmp = "192m"\n',
    "app = 1, debian = 4 }": "app = 1, debian = 150 }",
    "\n[tool.image-contract.except]\n": "\n[tool.image-contract.except]\n"
    f'"{NO_TOOL}" = {{ "*/bin/git" = "uploads are kept in a repository" }}\n',
}
ADDED = """
[project.scripts]
kind-of = "files.command:main"

[project.optional-dependencies]
sorted = ["sortedcontainers>=2,<3"]
unused = ["tabulate>=0.9,<1"]
"""
MB = 10**6
UPLOAD = 100 * MB


@pytest.fixture(scope="module")
def files(scaffold: Scaffold, engine: Engine) -> tuple[Project, str]:
    """The project, and its image."""
    project = scaffold("files", service_type="fastapi", build_image="slim")
    services.let_through(project, "share")
    for old, new in EDITS.items():
        project.replace("pyproject.toml", old, new)
    project.append("pyproject.toml", ADDED)
    services.finish(project, "python-magic>=0.4,<1", "python-multipart>=0.0.20,<1")
    return project, engine.build(project, "--build-arg", "VERSION=2.0")[0]


def test_a_label_with_another_version_than_the_dynamic_one(files: tuple[Project, str], engine: Engine) -> None:
    project, _ = files
    image, _ = engine.build(project, "--build-arg", "VERSION=3.0")
    assert red(table(judge(project, image, "-k", "labels:"))) == {LABELS: "version is '3.0'"}


def test_holds(files: tuple[Project, str]) -> None:
    """With git, a larger budget, files beside src, an extra of the project's and a version that is dynamic."""
    debian("libmagic1")  # for the project's tests, outside a container
    project, image = files
    services.check(project)
    rows = table(judge(project, image))
    assert red(rows) == {}
    assert rows[NO_TOOL].seen == "none; except usr/bin/git: uploads are kept in a repository"
    services.update(project)


def form(size: int) -> Iterator[bytes]:
    """Yield a form with a file of `size` bytes."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="large.pdf"\r\n\r\n%PDF-1.7\n'
    for _ in range((size - 9) // MB):
        yield bytes(MB)
    yield bytes((size - 9) % MB) + b"\r\n--x--\r\n"


def upload(engine: Engine, container: str, size: int) -> tuple[int, str]:
    """Return status and body of the answer to an upload."""
    assert call(engine, container, "/readyz")[0] == 200
    address = engine.published(container)
    connection = http.client.HTTPConnection(address, timeout=60)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(sum(map(len, form(size))))}
    with contextlib.closing(connection):
        connection.request("POST", "/files", form(size), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_a_large_upload(files: tuple[Project, str], engine: Engine) -> None:
    """The limits are those of the project's contract, as in Kubernetes: /tmp is in memory, and part of its limit."""
    project, image = files
    terms = tomllib.loads(project.read("pyproject.toml"))["tool"]["image-contract"]
    memory = sum(int(terms[name].removesuffix("m")) for name in ("memory", "tmp"))
    limits = (f"--memory={memory}m", f"--tmpfs=/tmp:size={terms['tmp']}")
    container = engine.start("--publish", "127.0.0.1::8000", *limits, image)
    digest = hashlib.sha256(b"%PDF-1.7\n" + bytes(UPLOAD - 9)).hexdigest()
    for _ in range(3):  # what is done with leaves no trace
        status, body = upload(engine, container, UPLOAD)
        assert (status, json.loads(body)) == (200, {"bytes": UPLOAD, "kind": "document", "sha256": digest})
    assert stop(engine, container) == 0


def test_an_upload_above_the_limit(files: tuple[Project, str], engine: Engine) -> None:
    """It is refused before it fills /tmp, and the next one that fits is taken."""
    _, image = files
    options = ("--tmpfs=/tmp:size=64m", f"--env=MAX_BODY={UPLOAD // 2}")
    container = engine.start("--publish", "127.0.0.1::8000", *options, image)
    assert upload(engine, container, UPLOAD)[0] == 413
    assert upload(engine, container, UPLOAD // 10)[0] == 200
    assert stop(engine, container) == 0


def test_the_program_and_the_data(files: tuple[Project, str], engine: Engine) -> None:
    _, image = files
    for content, kind, status in (("%PDF-1.7", "document", 0), ("what?", "unknown", 1)):
        command = f"echo '{content}' | kind-of"
        done = engine.docker("run", "--rm", "--entrypoint", "sh", image, "-c", command, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (status, f"{kind}\n", "")
    container = engine.start("--publish", "127.0.0.1::8000", image)
    assert "not kept" in call(engine, container, "/notice")[1]
