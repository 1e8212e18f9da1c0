"""Attempts to reach a later image through what an earlier build has left: on this template, and on what it once was."""

import functools
import http.server
import io
import re
import tarfile
import threading
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.engine import Engine
from tests.helpers.project import Project, add_dependency, relock, run

BREAKS = Path(__file__).with_name("breaks")
POISON = BREAKS / "poison.py"
# The template before its layers: uv with a cache, bytecode in another one, both shared by all builds of an engine.
BEFORE = ROOT / "tests/update/before-the-house.bundle"
# What can be done to it: by a build of somebody else's; by bad packages of another project; by those that the project
# itself once had. Each leaves its own name, so all are tried in one go.
ATTEMPTS = {
    *("canary-stranger-bytecode", "canary-stranger-source", "canary-stranger-pointer", "canary-stranger-lock"),
    *("canary-other_import-bytecode", "canary-other_pth-bytecode", "canary-other_sdist-source"),
    *("canary-own_import-bytecode", "canary-own_pth-bytecode", "canary-own_sdist-source"),
}


def wheel(name: str, files: dict[str, str]) -> bytes:
    """Return a wheel of version 1."""
    info = f"{name}-1.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.2\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return copy.getvalue()


def source_archive(name: str) -> bytes:
    """Return a source archive of version 1, whose backend is backend.py."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: 1\n".encode(),
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        f"{name}-1-py3-none-any.whl": wheel(name, {f"{name}.py": ""}),
        "backend.py": (BREAKS / "backend.py").read_bytes(),
        "poison.py": POISON.read_bytes(),
    }
    copy = io.BytesIO()
    with tarfile.open(fileobj=copy, mode="w:gz") as archive:
        for file, data in files.items():
            entry = tarfile.TarInfo(f"{name}-1/{file}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return copy.getvalue()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an index of bad packages; yield its address, which builds reach too."""
    folder = tmp_path_factory.mktemp("index")
    for who in ("own", "other"):
        code = POISON.read_text(encoding="utf-8")
        files = {
            f"{who}_import-1-py3-none-any.whl": wheel(
                f"{who}_import", {f"{who}_import.py": f'{code}\nmain("{who}_import")\n'}
            ),
            f"{who}_pth-1-py3-none-any.whl": wheel(
                f"{who}_pth",
                {f"{who}_code.py": f'{code}\nmain("{who}_pth")\n', f"{who}_pth.pth": f"import {who}_code\n"},
            ),
            f"{who}_sdist-1.tar.gz": source_archive(f"{who}_sdist"),
        }
        for file, data in files.items():
            page = folder / file.partition("-")[0].replace("_", "-")
            page.mkdir()
            (page / file).write_bytes(data)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def infected(project: Project, folder: Path, who: str, index: str) -> Project:
    """Return a copy of a project that has and imports the bad packages."""
    run("cp", "-r", project.path, folder)
    copy = Project(folder, project.answers)
    source = f"bad-{uuid.uuid4().hex[:8]}"  # Poetry keeps what it knows of an index, by this name
    copy.append(
        "pyproject.toml", f'\n[[tool.poetry.source]]\nname = "{source}"\nurl = "{index}"\npriority = "explicit"\n'
    )
    names = [f"{who}-{kind}" for kind in ("import", "pth", "sdist")]
    for name in names:
        add_dependency(copy, f"{name}==1")
        copy.append("pyproject.toml", f'\n[tool.poetry.dependencies.{name}]\nsource = "{source}"\n')
    relock(copy)
    copy.append(f"src/{copy.package}/worker.py", f"\nimport {who}_import\n")
    return copy


def stranger(engine: Engine, project: Project, folder: Path) -> None:
    """Run poison.py in a build that mounts the project's caches."""
    mounts = set(re.findall(r"--mount=type=cache\S+", project.read("Dockerfile")))
    assert mounts
    version = project.answers["python_version"]
    folder.mkdir()
    (folder / "poison.py").write_bytes(POISON.read_bytes())
    (folder / "Dockerfile").write_text(
        f"FROM python:{version}-slim-{engine.suites[version]}\nCOPY poison.py /\nENV BUILD={uuid.uuid4().hex}\n"
        f"RUN {' '.join(sorted(mounts))} python /poison.py stranger\n"
    )
    engine.docker("build", folder)  # --no-cache would begin with empty caches


@pytest.mark.parametrize("template", ["before", "now"])
def test_no_attempt_reaches_a_later_image(
    cookies: Any, engine: Engine, index: str, tmp_path: Path, template: str
) -> None:
    source = ROOT
    if template == "before":
        source = tmp_path / "template"
        run("git", "clone", "--quiet", "--branch", "before", BEFORE, source)

    def worker(slug: str) -> Project:
        answers = {"project_slug": slug, "service_type": "worker", "build_image": "full"}
        result = cookies.bake(extra_context=answers, template=str(source))
        assert result.exit_code == 0, result.exception
        project = Project(result.project_path, result.context)
        add_dependency(project, "docopt==0.6.2")
        relock(project)
        return project

    project, other = (worker(f"{name}-{uuid.uuid4().hex[:8]}") for name in ("poisoned", "other"))
    engine.build(project)
    stranger(engine, project, tmp_path / "stranger")
    engine.build(infected(other, tmp_path / "bad-other", "other", index))
    engine.build(infected(project, tmp_path / "bad-own", "own", index))
    # Another value, that says the same: each step runs again, with the caches as they are.
    image, _ = engine.build(project, "--build-arg", "MIRROR_FALLBACK=1")

    look = ("run", "--rm", "--entrypoint", "grep", image, "-rhoaE", "canary-[a-z_]+-[a-z]+", "/app", "/usr/local")
    reached = set(engine.docker(*look, check=False).stdout.split())
    assert reached & ATTEMPTS == (ATTEMPTS if template == "before" else set())
    if template == "now":
        assert not reached
