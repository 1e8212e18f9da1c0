"""tools/build/bytecode.py, on the Python of this repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run

pytestmark = pytest.mark.quick

SCRIPT = ROOT / "{{cookiecutter.project_slug}}/tools/build/bytecode.py"

# Modules of a service's dependencies, and what becomes of a build when the service imports them.
MODULES = {
    "good": "import json\n",
    "early": "raise RuntimeError('not configured')\n",
    "broken": "raise ImportError('libmissing.so: cannot open shared object file')\n",
    "needy": "import nowhere\n",
}


Compile = Callable[..., Run]


@pytest.fixture
def compile_imports(tmp_path: Path) -> Compile:
    """Return a function that runs the script for some modules; its output folder is `tmp_path`/out."""
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)

    def work(*names: str) -> Run:
        (tmp_path / "names").write_text("\n".join(names))
        env = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(tmp_path),
            "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
        }
        command = [sys.executable, str(SCRIPT), str(tmp_path / "names"), str(tmp_path / "out")]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return work


def bytecode(tmp_path: Path) -> dict[str, bytes]:
    return {path.name.partition(".")[0]: path.read_bytes() for path in (tmp_path / "out").rglob("*.pyc")}


def test_bytecode_of_what_is_imported(compile_imports: Compile, tmp_path: Path) -> None:
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


def test_what_an_interrupted_build_left_in_the_cache_is_not_used(compile_imports: Compile, tmp_path: Path) -> None:
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
def test_broken_dependency_stops_the_build(compile_imports: Compile, tmp_path: Path, name: str, reason: str) -> None:
    done = compile_imports("good", name)
    assert done.returncode == 1
    assert reason in done.stderr
    assert not (tmp_path / "out").exists()
