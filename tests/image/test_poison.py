"""Attempts to reach a later image through what a build has left: by the code of bad packages, while a build runs."""

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

import pytest

from tests.helpers.engine import Engine, again
from tests.helpers.project import Bake, Project, add_dependency, relock, run

BREAKS = Path(__file__).with_name("breaks")
POISON = BREAKS / "poison.py"


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
    """Serve two indexes of bad packages; yield the address before `binary/` and `source/`, which builds reach too.

    They have lists of their own, one installed after the other: code of the second finds what the first has brought.
    """
    folder = tmp_path_factory.mktemp("index")
    code = POISON.read_text(encoding="utf-8")
    files = {
        "bad_import-1-py3-none-any.whl": wheel("bad_import", {"bad_import.py": f'{code}\nmain("bad_import")\n'}),
        "bad_pth-1-py3-none-any.whl": wheel(
            "bad_pth", {"bad_code.py": f'{code}\nmain("bad_pth")\n', "bad_pth.pth": "import bad_code\n"}
        ),
        "bad_sdist-1.tar.gz": source_archive("bad_sdist"),
    }
    for file, data in files.items():
        kind = "binary" if file.endswith(".whl") else "source"
        page = folder / kind / file.partition("-")[0].replace("_", "-")
        page.mkdir(parents=True)
        (page / file).write_bytes(data)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def infected(project: Project, folder: Path, index: str, *kinds: str) -> Project:
    """Return a copy of a project that has the bad packages, and imports the one that can be imported."""
    run("cp", "-r", project.path, folder)
    copy = Project(folder, project.answers)
    sources = {}
    for place in ("binary", "source"):
        sources[place] = f"{place}-{uuid.uuid4().hex[:8]}"  # Poetry keeps what it knows of an index, by this name
        table = f'name = "{sources[place]}"\nurl = "{index}{place}/"\npriority = "explicit"\n'
        copy.append("pyproject.toml", f"\n[[tool.poetry.source]]\n{table}")
    for kind in kinds:
        add_dependency(copy, f"bad-{kind}==1")
        source = sources["source" if kind == "sdist" else "binary"]
        copy.append("pyproject.toml", f'\n[tool.poetry.dependencies.bad-{kind}]\nsource = "{source}"\n')
    relock(copy)
    copy.append(f"src/{copy.package}/worker.py", "\nimport bad_import\n")
    return copy


def canaries(engine: Engine, image: str) -> set[str]:
    """Return the names that bad packages have left in an image."""
    look = ("run", "--rm", "--user", "0", "--entrypoint", "grep", image)
    found = engine.docker(*look, "-rhoaE", "canary-bad_[a-z]+", "/app", "/usr/local", check=False).stdout
    return {*found.split()}


@pytest.mark.parametrize("build_image", ["slim", "full"])
def test_no_bad_package_reaches_a_later_image(
    bake: Bake, engine: Engine, index: str, tmp_path: Path, build_image: str
) -> None:
    """Neither one of its own project, without that package, nor one of another project."""

    def worker(name: str) -> Project:
        slug = f"{name}-{uuid.uuid4().hex[:8]}"
        return bake(project_slug=slug, package_name=name, service_type="worker", build_image=build_image)

    project, other = worker("own"), worker("other")
    kinds = ("import", "pth", "sdist") if build_image == "full" else ("import", "pth")
    engine.build(project, again())
    bad, _ = engine.build(infected(project, tmp_path / "bad", index, *kinds), again())
    # It did run where it may: in the stage of a full image that builds source archives; nowhere in a slim one.
    ran = canaries(engine, bad)
    assert "canary-bad_sdist" in ran if build_image == "full" else ran == set()
    for clean in (project, other) if build_image == "slim" else (project,):  # a full image has no cache to share
        image, _ = engine.build(clean, again())
        assert canaries(engine, image) == set()


@pytest.mark.quick
@pytest.mark.parametrize("build_image", ["slim", "full"])
def test_no_cache_where_the_code_of_packages_runs(rendered: Bake, build_image: str) -> None:
    steps = re.findall(r"(?m)^RUN (?:.*\\\n)*.*$", rendered(build_image=build_image).read("Dockerfile"))
    with_cache = [step for step in steps if "type=cache" in step]
    assert len(with_cache) == (1 if build_image == "slim" else 0)
    assert not [step for step in with_cache if "--build" in step]
