"""What the image build runs from docker/, against the tools and the Python that it stands in for."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.locks import POETRY
from tests.combinations import CHOICES
from tests.conftest import Bake, Project, Run, index_environment, run
from tests.test_image import add_dependency, relock
from tests.test_layers import replace

Entries = dict[str, tuple[str, set[str], list[bool]]]


def entries(text: str, python: str) -> Entries:
    """Return name -> version, hashes, and on which machines a requirements file wants the package."""
    found = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        wanted = Requirement(line.partition(" --hash=")[0])
        version = {"python_version": python, "python_full_version": f"{python}.0"}
        machines = [{**version, "platform_machine": name} for name in ("x86_64", "aarch64")]
        applies = [wanted.marker is None or wanted.marker.evaluate(dict(machine)) for machine in machines]
        found[wanted.name] = (str(wanted.specifier), set(re.findall(r"--hash=(\S+)", line)), applies)
    return {name: entry for name, entry in found.items() if any(entry[2])}


def lock_script(project: Project) -> Run:
    command = (sys.executable, project.path / "docker/lock.py", "wanted.txt", "metadata")
    return run(*command, cwd=project.path, check=False)


def as_rendered(_project: Project) -> None:
    pass


def with_extras(project: Project) -> None:
    """Add what makes locks complicated: extras, of a dependency and of the project's own, and markers."""
    more = ("httpx[http2]>=0.28", "tzdata>=2025.2; platform_machine == 'aarch64'", "colorama; sys_platform == 'win32'")
    for requirement in more:
        add_dependency(project, requirement)
    replace(project, "\n[tool.poetry]\n", '\n[project.optional-dependencies]\nfast = ["orjson>=3"]\n\n[tool.poetry]\n')
    relock(project)


@pytest.mark.parametrize("change", [as_rendered, with_extras])
@pytest.mark.parametrize("python", CHOICES["python_version"])
def test_lock_is_read_as_poetry_export_reads_it(bake: Bake, python: str, change: Callable[[Project], None]) -> None:
    project = bake(python_version=python)
    change(project)
    done = lock_script(project)
    assert done.returncode == 0, done.stderr
    exported = run(*POETRY, "export", "--only", "main", cwd=project.path, env=index_environment()).stdout
    wanted = entries(project.read("wanted.txt"), python)
    assert wanted == entries(exported, python)
    assert "orjson" not in project.read("wanted.txt")
    assert ("tzdata" in wanted) == (change is with_extras)
    assert all(hashes for _, hashes, _ in wanted.values())


LOCKS: dict[str, Callable[[str], str | None]] = {
    "poetry.lock is missing": lambda _: None,
    "does not fit pyproject.toml": lambda text: re.sub('content-hash = "..', 'content-hash = "xx', text),
    "older than 2.0": lambda text: text.replace('lock-version = "2.1"', 'lock-version = "2.0"'),
    "can't be read": lambda text: text + "[",
    "locked to git": lambda text: text.replace(
        "\n[metadata]", '\n[package.source]\ntype = "git"\nurl = "https://git.example.com/x"\n\n[metadata]'
    ),
}


@pytest.mark.parametrize("words", LOCKS)
def test_a_lock_that_can_not_be_installed_is_refused(bake: Bake, words: str) -> None:
    project = bake()
    text = LOCKS[words](project.read("poetry.lock"))
    if text is None:
        (project.path / "poetry.lock").unlink()
    else:
        assert text != project.read("poetry.lock")
        project.write("poetry.lock", text)
    done = lock_script(project)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.path / "wanted.txt").exists()


@pytest.mark.parametrize("setting", ["build", "exclude", "include", "packages"])
def test_a_setting_that_the_image_would_ignore_is_refused(bake: Bake, setting: str) -> None:
    project = bake()
    if setting == "packages":
        replace(project, ', from = "src" },', ', from = "src", to = "elsewhere" },')
    else:
        value = '{ script = "build.py" }' if setting == "build" else '["data/**"]'
        replace(project, "\n[tool.poetry]\n", f"\n[tool.poetry]\n{setting} = {value}\n")
    done = lock_script(project)
    assert done.returncode == 1
    assert f"tool.poetry has {setting}, but the image takes src/ as it is" in done.stderr
    assert not (project.path / "wanted.txt").exists()


def test_metadata_that_can_not_be_made_is_explained(bake: Bake) -> None:
    project = bake()
    replace(project, '\nreadme = "README.md"\n', '\nreadme = "NOTHING.md"\n')
    done = lock_script(project)
    assert done.returncode == 1
    assert "metadata can't be made" in done.stderr
    assert "NOTHING.md" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_pyproject_is_named(bake: Bake) -> None:
    project = bake()
    project.write("pyproject.toml", project.read("pyproject.toml") + "[")
    done = lock_script(project)
    assert done.returncode == 1
    assert done.stderr.startswith("pyproject.toml can't be read: ")
    assert len(done.stderr.splitlines()) == 1


def test_packages_of_another_index_name_it(bake: Bake) -> None:
    project = bake()
    source = '\n[package.source]\ntype = "legacy"\nurl = "https://pypi.example.com/simple"\nreference = "ours"\n'
    project.write("poetry.lock", project.read("poetry.lock").replace("\n[metadata]", f"{source}\n[metadata]"))
    assert lock_script(project).returncode == 0
    lines = project.read("wanted.txt").splitlines()
    assert [line for line in lines if "url" in line] == ["--extra-index-url https://pypi.example.com/simple"]


def project_script(project: Project, folder: Path) -> Run:
    """Run docker/lock.py and docker/project.py as the Dockerfile does, with `folder` as its root."""
    assert lock_script(project).returncode == 0
    shutil.copytree(project.path / "src", folder / "app/lib", symlinks=True)
    shutil.move(project.path / "metadata", folder)
    command = (sys.executable, project.path / "docker/project.py", "app", "metadata", "names.txt")
    return run(*command, cwd=folder, check=False)


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
    done = project_script(project, tmp_path)
    assert done.returncode == 0, done.stderr

    run(*POETRY, "build", "--format", "wheel", cwd=project.path, env=index_environment())
    (file,) = (project.path / "dist").iterdir()
    with zipfile.ZipFile(file) as wheel:
        wanted = {name: wheel.read(name) for name in wheel.namelist()}
    found = contents(tmp_path / "app/lib", tmp_path / "metadata")
    assert found.keys() == wanted.keys()
    (record,) = (name for name in wanted if wanted[name] != found[name])
    assert record.endswith(".dist-info/RECORD")
    assert sorted(found[record].splitlines()) == sorted(wanted[record].splitlines())


def test_bytecode_of_the_project(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    project.write(f"src/{project.package}/inner/__init__.py", "")
    (project.path / f"src/{project.package}/link.txt").symlink_to("app.py")
    assert project_script(project, tmp_path).returncode == 0
    sources = {name for name in contents(project.path / "src") if name.endswith(".py")}
    (cache,) = (tmp_path / "app/bytecode").glob(str((tmp_path / "app/lib").relative_to("/")))
    compiled = contents(cache)
    assert {re.sub(r"\.cpython-\d+\.pyc$", ".py", name) for name in compiled} == sources
    assert {data[4:8] for data in compiled.values()} == {b"\1\0\0\0"}, "not marked as never to be checked"
    record = next(data for name, data in contents(tmp_path / "app/lib").items() if name.endswith("RECORD"))
    assert b"link.txt" not in record  # a link has no content of its own


CODE = """
from __future__ import annotations

import one
import two.three as four
from . import sibling
from own import thing
from .sibling import thing
from five import six, seven
from shared.eight import nine
if TYPE_CHECKING:
    import typed
else:
    import untyped
if typing.TYPE_CHECKING:
    from typed import more
try:
    import fast
except ImportError:
    import slow
try:
    import needed
except ValueError:
    pass
def later():
    match one:
        case 1:
            import ten
    with suppress(ImportError):
        import eleven
    with open(one) as file:
        import twelve
"""


def test_names_that_the_project_imports(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    shutil.rmtree(project.path / f"src/{project.package}")
    project.write("src/own/__init__.py", CODE)
    project.write("src/shared/mine/__init__.py", "")  # a namespace that others may have a part in
    assert project_script(project, tmp_path).returncode == 0
    assert (tmp_path / "names.txt").read_text().split() == [
        *("?eleven", "?fast", "?slow", "__future__.annotations", "five.seven", "five.six", "needed", "one"),
        *("shared.eight.nine", "ten", "twelve", "two.three", "untyped"),
    ]


def test_sources_that_can_not_be_compiled_are_named(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    for name in ("app", "settings"):
        project.write(f"src/{project.package}/{name}.py", "def broken(:\n")
    done = project_script(project, tmp_path)
    assert done.returncode == 1
    for name in ("app", "settings"):
        assert f'{project.package}/{name}.py", line 1' in done.stderr
    assert "SyntaxError" in done.stderr
    assert "Traceback" not in done.stderr


def test_modules_among_the_names(bake: Bake, tmp_path: Path) -> None:
    script = bake().path / "docker/imports.py"
    names = [
        "json.decoder.JSONDecoder",
        "json.tool",
        "os.path",
        "?csv.reader",
        "csv",
        "?tomllib.loads",
        "nowhere",
        "?x",
    ]
    (tmp_path / "broken.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "bare/inner").mkdir(parents=True)
    (tmp_path / "names.txt").write_text("\n".join([*names, "broken.thing", "bare.inner"]))
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run(sys.executable, "-P", script, tmp_path / "names.txt", tmp_path / "modules.txt", env=env)
    found = (tmp_path / "modules.txt").read_text().split()
    assert found == ["?tomllib", "bare.inner", "broken", "csv", "json.decoder", "json.tool", "os"]


# Modules of a service's dependencies, and what becomes of a build when the service imports them.
MODULES = {
    "good": "import json\n",
    "early": "raise RuntimeError('not configured')\n",
    "broken": "raise ImportError('libmissing.so: cannot open shared object file')\n",
    "needy": "import nowhere\n",
}


@pytest.fixture
def compile_imports(bake: Bake, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs docker/bytecode.py for some modules; its output folder is `tmp_path`/out."""
    script = bake().path / "docker/bytecode.py"
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)

    def work(*names: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "names").write_text("\n".join(names))
        env = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(tmp_path),
            "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
        }
        command = [sys.executable, str(script), str(tmp_path / "names"), str(tmp_path / "out")]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return work


def bytecode(tmp_path: Path) -> dict[str, bytes]:
    return {path.name.partition(".")[0]: path.read_bytes() for path in (tmp_path / "out").rglob("*.pyc")}


def test_bytecode_of_what_is_imported(
    compile_imports: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = compile_imports("early", "good", "?broken", "?needy")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "bytecode: early can't be imported on its own: RuntimeError('not configured')\n"
    first = bytecode(tmp_path)
    assert {"good", "early", "scanner"} <= {*first}
    assert {data[4:8] for data in first.values()} == {b"\1\0\0\0"}, "not marked as never to be checked"

    # The cache gives the same again, but nothing stale, whatever the time stamps say.
    old = (tmp_path / "good.py").stat()
    (tmp_path / "good.py").write_text("import csv \n")
    os.utime(tmp_path / "good.py", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert (tmp_path / "good.py").stat().st_size == old.st_size
    shutil.rmtree(tmp_path / "out")
    assert compile_imports("early", "good").returncode == 0
    second = bytecode(tmp_path)
    assert second["early"] == first["early"]
    assert second["good"] != first["good"]
    assert "csv" in second


def test_what_an_interrupted_build_left_in_the_cache_is_not_used(
    compile_imports: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    # Python's own .pyc files know their source by time stamp and size alone.
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import good"], env={**env, "PYTHONDONTWRITEBYTECODE": ""}, check=True)
    (left,) = (tmp_path / "cache").rglob("good.*.pyc")
    old, stale = (tmp_path / "good.py").stat(), left.read_bytes()
    (tmp_path / "good.py").write_text("import csv \n")
    os.utime(tmp_path / "good.py", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert compile_imports("good").returncode == 0
    assert bytecode(tmp_path)["good"][16:] != stale[16:]
    assert left.read_bytes()[4:8] == b"\3\0\0\0"


@pytest.mark.parametrize(("name", "reason"), [("broken", "libmissing.so"), ("needy", "No module named 'nowhere'")])
def test_broken_dependency_stops_the_build(
    compile_imports: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, name: str, reason: str
) -> None:
    done = compile_imports("good", name)
    assert done.returncode == 1
    assert reason in done.stderr
    assert not (tmp_path / "out").exists()
