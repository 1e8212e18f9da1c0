"""tools/build/app.py, against the wheel that Poetry would build."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES
from tests.helpers.machine import index_environment
from tests.helpers.project import Bake, Project, Run, build_script, lock_script, run
from tests.helpers.services import let_through


def context(project: Project, folder: Path) -> Path:
    """Return a folder, made in `folder`, with what the project's .dockerignore lets into a build."""
    target = folder / "context"
    for line in project.read(".dockerignore").splitlines():
        source = project.path / line.removeprefix("!")
        if line.startswith("!") and source.is_dir():
            shutil.copytree(source, target / line[1:], symlinks=True)
        elif line.startswith("!"):
            target.mkdir(exist_ok=True)
            shutil.copy(source, target)
    return target


def app_script(project: Project, folder: Path) -> Run:
    """Run the script on a project as the Dockerfile does; `folder` gets metadata, layers and names.txt."""
    assert lock_script(project).returncode == 0
    shutil.move(project.path / "lock/layer", folder / "metadata")
    return build_script(project, "app", context(project, folder), "metadata", "layers", "names.txt", cwd=folder)


def contents(*folders: Path) -> dict[str, bytes]:
    """Return relative path -> content of the files in some folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("service_type", CHOICES["service_type"])
def test_the_project_is_what_its_wheel_would_install(bake: Bake, tmp_path: Path, service_type: str) -> None:
    project = bake(service_type=service_type)
    for name in ("data, with a comma.json", "inner/__init__.py", "inner/deep/data.bin"):
        project.write(f"src/{project.package}/{name}", "")
    done = app_script(project, tmp_path)
    assert done.returncode == 0, done.stderr

    run(*POETRY, "build", "--format", "wheel", cwd=project.path, env=index_environment())
    (file,) = (project.path / "dist").iterdir()
    with zipfile.ZipFile(file) as wheel:
        wanted = {name: wheel.read(name) for name in wheel.namelist()}
    found = contents(*tmp_path.glob("layers/*/app/lib"), tmp_path / "metadata/app/lib")
    assert found.keys() == wanted.keys()
    (record,) = (name for name in wanted if wanted[name] != found[name])
    assert record.endswith(".dist-info/RECORD")
    assert sorted(found[record].splitlines()) == sorted(wanted[record].splitlines())


@pytest.mark.quick
def test_programs_of_the_project(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    project.append("pyproject.toml", f'\n[project.scripts]\nreport = "{project.package}.report:main"\n')
    project.write(f"src/{project.package}/report.py", "def main():\n    print('reported')\n    return 3\n")
    assert app_script(project, tmp_path).returncode == 0
    program = tmp_path / "metadata/app/.venv/bin/report"
    assert os.access(program, os.X_OK)
    assert program.read_text().startswith("#!/app/.venv/bin/python\n")
    done = run(sys.executable, program, env={"PYTHONPATH": str(project.path / "src")}, check=False)
    assert (done.returncode, done.stdout) == (3, "reported\n")
    (record,) = tmp_path.glob("layers/project/app/lib/*.dist-info/RECORD")
    assert "\n../.venv/bin/report,sha256=" in record.read_text()


@pytest.mark.quick
def test_bytecode_of_the_project(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    project.write(f"src/{project.package}/inner/__init__.py", "")
    (project.path / f"src/{project.package}/link.txt").symlink_to("app.py")
    assert app_script(project, tmp_path).returncode == 0
    sources = {name for name in contents(project.path / "src") if name.endswith(".py")}
    compiled = contents(*tmp_path.glob("layers/*/app/bytecode/app/lib"))
    assert {re.sub(r"\.cpython-\d+\.pyc$", ".py", name) for name in compiled} == sources
    assert {path.parent.name for path in tmp_path.glob("layers/runtime/app/**/*.py*")} == {"service_runtime"}
    assert {data[4:8] for data in compiled.values()} == {b"\1\0\0\0"}, "not marked as never to be checked"
    record = next(
        data for name, data in contents(tmp_path / "layers/project/app/lib").items() if name.endswith("RECORD")
    )
    assert b"link.txt" not in record  # a link has no content of its own


def test_files_beside_the_sources(bake: Bake, tmp_path: Path) -> None:
    """They lie below /app, the RECORD has them, their imports are found; a project without any has none."""
    project = bake()
    assert app_script(project, tmp_path).returncode == 0
    assert {path.name for path in tmp_path.glob("layers/*/app/*")} == {"bytecode", "lib"}

    let_through(project, "config", "settings.ini")
    project.write("config/prices.json", "{}")
    project.write("config/hook.py", "import hooked")
    project.write("config/__pycache__/hook.cpython-311.pyc", "")
    project.write("settings.ini", "[all]")
    folder = tmp_path / "again"
    folder.mkdir()
    done = app_script(project, folder)
    assert done.returncode == 0, done.stderr
    app = folder / "layers/project/app"
    found = contents(app)
    beside = {name for name in found if not name.startswith(("lib/", "bytecode/"))}
    assert beside == {"config/prices.json", "config/hook.py", "settings.ini"}
    assert list(app.glob("bytecode/app/config/hook.*.pyc"))
    (record,) = (text.decode() for name, text in found.items() if name.endswith("RECORD"))
    assert all(f"\n../{name},sha256=" in record for name in beside)
    assert "pycache" not in record
    assert "hooked" in (folder / "names.txt").read_text().split()


@pytest.mark.quick
def test_a_place_that_is_taken(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    let_through(project, "lib")
    project.write("lib/vendored.py", "")
    done = app_script(project, tmp_path)
    assert done.returncode == 1
    assert done.stderr == ".dockerignore lets lib into the image, which has its own in that place: rename it\n"


CODE = """
from __future__ import annotations

import one
import two.three as four
from . import sibling
from own import thing
from .sibling import thing
from five import six, seven
from shared.eight import nine
import only_for_another_machine
if TYPE_CHECKING:
    import typed
else:
    import untyped
if typing.TYPE_CHECKING:
    from typed import more
try:
    import fast
    from csv import reader
except ImportError:
    import slow
try:
    import needed
except ValueError:
    import csv
def later():
    match one:
        case 1:
            import ten
    with suppress(ImportError):
        import eleven
    with open(one) as file:
        import os.path
"""


@pytest.mark.quick
def test_names_that_the_project_imports(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    shutil.rmtree(project.path / "src")
    project.write("src/own/__init__.py", CODE)
    project.write("src/shared/mine/__init__.py", "")  # a namespace that others have a part in
    done = app_script(project, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "names.txt").read_text().split() == [
        *("?csv.reader", "?eleven", "?fast", "?slow", "__future__.annotations", "csv", "five.seven", "five.six"),
        *("needed", "one", "only_for_another_machine", "os.path", "shared.eight.nine", "ten", "two.three", "untyped"),
    ]


def test_sources_that_can_not_be_compiled_are_named(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    for name in ("app", "settings"):
        project.write(f"src/{project.package}/{name}.py", "def broken(:\n")
    done = app_script(project, tmp_path)
    assert done.returncode == 1
    for name in ("app", "settings"):
        assert f'{project.package}/{name}.py", line 1' in done.stderr
    assert "SyntaxError" in done.stderr
    assert "Traceback" not in done.stderr
