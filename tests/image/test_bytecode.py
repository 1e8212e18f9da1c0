"""Bytecode of the packages: modules.py, imports.py, bytecode.py in tools/build, on the Python of this repository."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from build import modules
from build.layer import SITE
from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run

TOOLS = ROOT / "{{cookiecutter.project_slug}}/tools"
pytestmark = pytest.mark.quick

CODE = """
import a, b.c as d  # why
from .x import (e,  # a comment
    f as g,
)
from .. import h, \\
    i
from ...j import k; import same_line
lazy from l import m
lazy import n.o
from p import *
if TYPE_CHECKING:
    import no_typing
    if more:

        import no_typing_either
if TYPE_CHECKING or not lazily:
    import q
if sys.platform == "win32":
    import no_windows
elif other:
    import r
if sys.platform == "linux":
    import s
try:
    import t
except ImportError:
    import no_fallback
else:
    import u
class A:
    '''How to use it:

    import no_example
    '''
    import v
    note = \"\"\"It's "so", or ""so"":

    import no_quoted\"\"\"

    def method(
        self,
    ) -> None:
        import no_method
        # a comment
import w
async def coroutine(): import no_coroutine
text = "import no_text"
if __name__ == "__main__":
    import no_script
"""
IMPORTED = {
    **{name: [] for name in ("a", "b.c", "n.o", "q", "r", "s", "t", "u", "v", "w")},
    **{"one.two.three.x": ["e", "f"], "one.two": ["h", "i"], "one.j": ["k"], "l": ["m"], "p": ["*"]},
}


def test_import_statements_that_are_run_on_loading() -> None:
    assert dict(modules.imported(CODE, "one.two.three")) == IMPORTED


# What is installed, as a file of a package; nothing of it may be run.
INSTALLED = {
    "heavy/__init__.py": "from . import inner\nimport json\nraise RuntimeError('it was run')\n",
    "heavy/inner.py": "from light.part import something\n",
    "heavy/unused.py": "",
    "light/__init__.py": "def later():\n    import light.unused\n",
    "light/part.py": "import spread.here\n",
    "light/unused.py": "",
    "spread/here/__init__.py": "",
    "plugin.py": "import xml.dom\n",
    "sqlalchemy/__init__.py": "",
    "sqlalchemy/dialects/postgresql/psycopg.py": "",
    "psycopg/__init__.py": "",
    "anyio/__init__.py": "",
    "anyio/_backends/__init__.py": "",
    "anyio/_backends/_asyncio.py": "",
}
LAYERS = {
    "1": ["heavy/", "sqlalchemy/", "psycopg/"],
    "2": ["light/", "spread/", "plugin.py", "anyio/__init__.py"],
    "3": ["anyio/_backends/"],
}


@pytest.fixture
def find(tmp_path: Path) -> Callable[[str, str], dict[str, set[str]]]:
    """Return a function that runs modules.py on names and on what the team adds; it returns list -> paths or names."""
    for layer, parts in LAYERS.items():
        for name in INSTALLED:
            if name.startswith(tuple(parts)):
                path = tmp_path / "layers" / layer / SITE[1:] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(INSTALLED[name])

    def find(names: str, also: str = "") -> dict[str, set[str]]:
        (tmp_path / "names.txt").write_text(names)
        (tmp_path / "import-also.txt").write_text(also)
        modules.main([str(tmp_path / name) for name in ("names.txt", "import-also.txt", "layers", "found")])
        found = {}
        for path in (tmp_path / "found").iterdir():
            lines = [line.split() for line in path.read_text().splitlines()]
            for digest, file in (line for line in lines if len(line) == 2):
                here = file if path.stem == "python" else f"{tmp_path}/layers/{path.stem}{file}"
                assert digest == hashlib.sha256(Path(here).read_bytes()).hexdigest()
            found[path.stem] = {line[-1].removeprefix(f"{SITE}/") for line in lines}
        return found

    return find


def test_files_that_the_imports_load_by_layer(find: Callable[..., dict[str, set[str]]]) -> None:
    found = find("heavy.Thing\n?missing\nonly_elsewhere.x\n")
    assert found["1"] == {"heavy/__init__.py", "heavy/inner.py"}
    assert found["2"] == {"light/__init__.py", "light/part.py", "spread/here/__init__.py"}
    assert found["3"] == set()
    assert {Path(name).name for name in found["python"]} >= {"decoder.py", "scanner.py"}
    assert found["imports"] == {"heavy"}
    # What is built into the interpreter is not loaded from a file.
    assert not {name for name in found["python"] if name.endswith(("/os.py", "/codecs.py"))}


def test_modules_that_are_loaded_by_name(find: Callable[..., dict[str, set[str]]]) -> None:
    found = find("?anyio\n", "# a plugin\nplugin  # why\n\n")
    assert found["imports"] == {"?anyio", "?anyio._backends._asyncio", "plugin"}
    assert found["2"] == {"plugin.py", "anyio/__init__.py"}
    assert found["3"] == {"anyio/_backends/__init__.py", "anyio/_backends/_asyncio.py"}  # a part in another layer
    assert any(name.endswith("xml/dom/__init__.py") for name in found["python"])


def test_a_driver_that_only_its_user_imports(find: Callable[..., dict[str, set[str]]]) -> None:
    """It is tried out as well, since it may load the rest of itself in a function."""
    found = find("sqlalchemy.create_engine\n")
    assert found["imports"] == {"sqlalchemy", "?psycopg", "?sqlalchemy.dialects.postgresql.psycopg"}
    assert "psycopg/__init__.py" in found["1"]


def test_a_wrong_name_in_the_list_is_told(find: Callable[..., dict[str, set[str]]]) -> None:
    with pytest.raises(SystemExit, match=r"import-also.txt: no module pluggin is installed"):
        find("heavy\n", "pluggin\n")


def compiled(tmp_path: Path, lines: list[str]) -> Run:
    (tmp_path / "list.txt").write_text("\n".join(lines))
    command = (sys.executable, "-S", "-m", "build.bytecode", "list.txt", "layer", "elsewhere", "root")
    return run(*command, cwd=tmp_path, env={"PYTHONPATH": str(TOOLS), "PYTHONHASHSEED": "0"}, check=False)


def source(tmp_path: Path, name: str, code: str) -> str:
    """Write a file below the root of an image; return its line in a list."""
    path = tmp_path / "root/app" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()} /app/{name}"


def test_bytecode_of_a_list(tmp_path: Path) -> None:
    good = source(tmp_path, "good.py", "raise RuntimeError('it was run')\n")
    done = compiled(tmp_path, [good, source(tmp_path, "later.py", "match = lazy import\n")])
    assert done.returncode == 0, done.stderr
    assert "/app/later.py is passed over" in done.stderr
    (file,) = (tmp_path / "layer").rglob("*.pyc")
    assert file == tmp_path / f"layer/app/bytecode/app/good.{sys.implementation.cache_tag}.pyc"
    assert b"/app/good.py" in file.read_bytes()
    assert str(tmp_path).encode() not in file.read_bytes()
    assert file.read_bytes()[4:8] == b"\1\0\0\0", "not marked as never to be checked"
    assert {path.stat().st_mtime for path in (tmp_path / "layer").rglob("*")} == {315532800}


def test_bytecode_depends_on_the_source_alone(tmp_path: Path) -> None:
    # Much in common, and sets, which a hash seed puts in another order.
    code = Path(subprocess.__file__).read_text(encoding="utf-8")
    lines = [source(tmp_path, f"{name}.py", f"{code}\n{name} = 'y' in {{'x', 'y', {name!r}}}\n") for name in "abcdef"]
    found = []
    for part in (lines, lines[::-1], lines[3:]):
        assert compiled(tmp_path, part).returncode == 0
        found.append({path.name: path.read_bytes() for path in (tmp_path / "layer").rglob("*.pyc")})
        shutil.rmtree(tmp_path / "layer")
    assert len(found[0]) == len(lines)
    assert found[1] == found[0]
    assert found[2].items() <= found[0].items()


def test_a_list_that_is_out_of_date_is_refused(tmp_path: Path) -> None:
    listed = source(tmp_path, "good.py", "")
    source(tmp_path, "good.py", "import json\n")
    for line in (listed, listed.replace("good", "missing")):
        done = compiled(tmp_path, [line])
        assert done.returncode == 1
        assert f"{line.split()[1]} has changed since it was listed" in done.stderr
        shutil.rmtree(tmp_path / "layer")


# Modules of a service's dependencies, and what becomes of a build when the service imports them.
MODULES = {
    "good": "import importlib; importlib.import_module('json')\n",
    "early": "raise RuntimeError('not configured')\n",
    "exits": "raise SystemExit(3)\n",
    "broken": "raise ImportError('libmissing.so: cannot open shared object file')\n",
    "needy": "import nowhere\n",
}


@pytest.fixture
def try_out(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that runs imports.py on some modules; its list is `tmp_path`/rest."""
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)

    def work(*names: str) -> Run:
        (tmp_path / "names").write_text("\n".join(names))
        command = (sys.executable, TOOLS / "build/imports.py", tmp_path / "names", tmp_path / "rest")
        env = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(tmp_path),
            "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
        }
        return run(*command, env=env, check=False)

    return work


def test_what_is_loaded_and_has_no_bytecode(try_out: Callable[..., Run], tmp_path: Path) -> None:
    done = try_out("early", "exits", "good", "?broken", "?needy")
    assert done.returncode == 0, done.stderr
    assert [text.partition(": ")[2] for text in done.stderr.splitlines()] == [
        "early can't be imported on its own: RuntimeError('not configured')",
        "exits can't be imported on its own: SystemExit(3)",
    ]
    listed = [Path(text.split()[1]) for text in (tmp_path / "rest").read_text().splitlines()]
    assert {tmp_path / "good.py"} < {*listed}
    assert any(path.match("json/scanner.py") for path in listed)
    # What has bytecode is not listed again.
    env = {"PYTHONPATH": str(tmp_path), "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": ""}
    run(sys.executable, "-c", "import good", env=env)
    assert try_out("good").returncode == 0
    assert "good.py" not in (tmp_path / "rest").read_text()


@pytest.mark.parametrize(("name", "reason"), [("broken", "libmissing.so"), ("needy", "No module named 'nowhere'")])
def test_broken_dependency_stops_the_build(try_out: Callable[..., Run], tmp_path: Path, name: str, reason: str) -> None:
    done = try_out("good", name)
    assert done.returncode == 1
    assert reason in done.stderr
    assert not (tmp_path / "rest").exists()
