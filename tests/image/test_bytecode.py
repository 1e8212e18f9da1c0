"""tools/image/bytecode.py and the keys that packages.py gives it, on the Python of this repository."""

import json
import sys
from pathlib import Path

import pytest

from image.layer import VENV
from image.packages import Package, split
from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run

TOOLS = ROOT / "{{cookiecutter.project_slug}}/tools"
pytestmark = pytest.mark.quick
# In a process of its own: it forks, and a test run may have threads.
SCRIPT = """
import json, sys
from pathlib import Path
from image.bytecode import Sources, compile_all
packages, cache, strict = json.loads(sys.argv[1])
compile_all([Sources(files, key) for files, key in packages], cache and Path(cache), strict=strict)
"""


def compiled(*packages: tuple[Path, str], cache: Path | None = None, strict: bool = False) -> Run:
    """Compile the modules of packages: folder and key; each is shown as /app/NAME."""
    sources = [([(str(path), f"/app/{path.name}") for path in folder.rglob("*.py")], key) for folder, key in packages]
    words = json.dumps([sources, cache and str(cache), strict])
    return run(sys.executable, "-c", SCRIPT, words, env={"PYTHONPATH": str(TOOLS)}, check=False)


def package(folder: Path, **modules: str) -> Path:
    """Return a new folder with modules."""
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def bytecode(folder: Path) -> dict[str, bytes]:
    """Return name -> content of the bytecode below a folder."""
    return {path.name.partition(".")[0]: path.read_bytes() for path in folder.rglob("*.pyc")}


CODE = "import os\n\n\ndef f(x: int) -> str:\n    return f'{x} {os.sep} some text'\n"


def test_bytecode_is_the_same_beside_whatever_it_is_made(tmp_path: Path) -> None:
    """And that from the cache is that without one; it names the place in the image, and is never compared."""
    alone, beside, cached = (package(tmp_path / name, b=CODE) for name in ("1", "2", "3"))
    other = package(tmp_path / "other", a="x = 'some text'; os = f = 'sep'\n" * 50)
    cache = tmp_path / "cache"
    cache.mkdir()
    for done in (compiled((alone, "")), compiled((other, ""), (beside, "")), compiled((cached, "key"), cache=cache)):
        assert (done.returncode, done.stderr) == (0, "")
    assert bytecode(alone) == bytecode(beside) == bytecode(cached)
    assert bytecode(alone)["b"][4:8] == b"\1\0\0\0"  # unchecked hash
    assert b"/app/b.py" in bytecode(alone)["b"]


def test_what_is_kept_goes_by_its_key(tmp_path: Path) -> None:
    first, same, other = (package(tmp_path / name, b=text) for name, text in (("1", CODE), ("2", "x"), ("3", "x")))
    cache = tmp_path / "cache"
    cache.mkdir()
    for folder, key in ((first, "key"), (same, "key"), (other, "other")):
        assert compiled((folder, key), cache=cache).returncode == 0
    assert bytecode(same) == bytecode(first) != bytecode(other)


@pytest.mark.parametrize("strict", [False, True])
def test_a_module_that_can_not_be_compiled(tmp_path: Path, strict: bool) -> None:
    folder = package(tmp_path / "package", good=CODE, template="def {{ name }}(:\n", zero="\0")
    done = compiled((folder, ""), strict=strict)
    assert bytecode(folder).keys() == {"good"}
    assert done.returncode == (1 if strict else 0)
    assert ("/app/template.py" in done.stderr) == strict
    assert "Traceback" not in done.stderr


def keys(folder: Path, *names: str, digests: dict[str, str], later: str = "") -> dict[str, str]:
    """Return package -> its key when packages of these names are split: each has its own file, and one with the others.

    That is the file of `later`, if its content differs; `digests` has its hashes.
    """
    folder.mkdir()
    packages = []
    for name in names:
        files = {f"{VENV}/{name}.py": "own", f"{VENV}/shared.py": digests.get(name, "same")}
        for path in files:
            (folder / Path(path).name).write_text("")
        record = folder / f"RECORD-{name}"
        record.write_text(name)
        packages.append(Package(name, record, files, 1))
    mixed = {f"{VENV}/shared.py": package for package in packages if package.name == later}
    sources = split(packages, folder / "layers", mixed)
    return dict(zip(names, (source.key for source in sources), strict=True))


def test_the_key_is_of_all_that_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that two packages bring, one has the bytecode; of which content, the other one may decide."""
    folder = tmp_path / "site"
    monkeypatch.setattr("image.packages.INSTALLED", folder)

    def of(*names: str, later: str = "", **digests: str) -> dict[str, str]:
        found = keys(folder, *names, digests=digests, later=later)
        folder.rename(tmp_path / f"site-{len(list(tmp_path.iterdir()))}")
        return found

    alone, beside = of("b"), of("a", "b")
    assert alone["b"] != beside["b"]  # the shared file is a's now: b has one module less
    old, new = of("a", "b", later="b", b="old"), of("a", "b", later="b", b="new")
    assert old["a"] != new["a"]
    assert old["b"] == new["b"] == beside["b"]
