"""Make the project's part of the image: its files, their bytecode, and the list of what they import.

    python project.py APP LIST

Reads pyproject.toml and src/ in the working folder. Its build backend, which has to be installed (PEP 517),
builds the wheel; that is unpacked into APP/lib and compiled into APP/bytecode, marked as never to be checked
against its source (PEP 552): the image does not change. The file LIST gets the modules that the code imports,
one a line, sorted. Exit status 1, with the reason, when the wheel can't be built or a file can't be compiled.
"""

import ast
import compileall
import importlib
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from py_compile import PycInvalidationMode


def build_wheel(folder: str) -> Path:
    """Return the wheel of the project in the working folder, built into `folder`."""
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    module, _, attribute = settings["build-backend"].partition(":")
    backend = importlib.import_module(module)
    name: str = (getattr(backend, attribute) if attribute else backend).build_wheel(folder)
    return Path(folder) / name


def compile_all(library: Path, bytecode: Path) -> None:
    """Compile the sources below `library` into `bytecode`, laid out as for PYTHONPYCACHEPREFIX."""
    sys.pycache_prefix = str(bytecode)
    if not compileall.compile_dir(library, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH):
        raise SystemExit(1)


def imported(source: Path) -> set[str]:
    """Return the absolute names of all modules that the code below `source` imports, its own left out.

    `from a import b` gives `a` and `a.b`, since b may be a module.
    """
    own = {path.name.removesuffix(".py") for path in source.iterdir()}
    found: set[str] = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] not in own}


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    app, names = map(Path, arguments)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(build_wheel(folder)) as wheel:
        wheel.extractall(app / "lib")
    compile_all(app / "lib", app / "bytecode")
    names.write_text("".join(f"{name}\n" for name in sorted(imported(Path("src")))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
