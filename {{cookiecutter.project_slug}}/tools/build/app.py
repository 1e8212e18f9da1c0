"""Make the project's part of the image from its sources: files, bytecode, a RECORD, and a list of what they import.

    python app.py SOURCES METADATA APP LIST

Run by the Python of the environment that has the dependencies, which is not changed.

SOURCES is the project's src/, METADATA has the .dist-info folder that a build backend made (PEP 517). APP, a folder to
make, becomes the image's /app: APP/lib gets the sources, readable for all, and the RECORD that an installer would have
written (the hash and size of every file); APP/bytecode gets their bytecode, marked as never to be checked against the
sources (PEP 552), since an image does not change.

The file LIST gets, one a line and sorted, the installed modules that the sources import. `from a import b` may mean the
module a.b, or what a defines; whichever is installed is named. A question mark leads what need not be there: the code
catches the ImportError. A name that stands for no module is left out: it may be one for certain machines only, and if
not, the service tells at its start. Nothing is imported.

Exit status 1, with the reasons, when sources can't be compiled.
"""

import ast
import base64
import csv
import hashlib
import py_compile
import shutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

CAUGHT = {"BaseException", "Exception", "ImportError", "ModuleNotFoundError"}
MAY_IMPORT = ast.stmt | ast.excepthandler | ast.match_case
LIBRARY = Path("/app/lib")  # where the sources will lie in the image


def compile_all(library: Path, sources: list[Path], bytecode: Path) -> None:
    """Compile `sources`, which lie in `library`, into `bytecode`, laid out as for PYTHONPYCACHEPREFIX in the image."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    errors = []
    for path in sources:
        name = LIBRARY / path.relative_to(library)
        target = bytecode / name.relative_to("/").with_suffix(f".{sys.implementation.cache_tag}.pyc")
        try:
            py_compile.compile(str(path), str(target), str(name), doraise=True, invalidation_mode=mode)
        except py_compile.PyCompileError as error:
            errors.append(error.msg.rstrip())
    if errors:
        errors.append("what is no Python, such as a template, needs a name that does not end in .py")
        sys.exit("\n".join(errors))


def catches(node: ast.AST) -> bool:
    """Return whether `node` is a `try` or a `with suppress(...)` that catches a failing import."""
    if isinstance(node, ast.Try):
        caught = [handler.type or ast.Name("Exception") for handler in node.handlers]
    elif isinstance(node, ast.With):
        caught = [item.context_expr for item in node.items]
    else:
        return False
    return any(isinstance(name, ast.Name) and name.id in CAUGHT for part in caught for name in ast.walk(part))


def is_type_checking(test: ast.expr) -> bool:
    """Return whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


def imported(source: ast.Module) -> set[str]:
    """Return the names that the code imports, with their question marks, without what only type checkers see."""
    found = set()
    todo: list[tuple[ast.AST, str]] = [(source, "")]
    while todo:
        node, mark = todo.pop()
        if isinstance(node, ast.Import):
            found |= {mark + alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{mark}{node.module}.{alias.name}" for alias in node.names}
        children = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and is_type_checking(node.test):
            children = iter(node.orelse)
        if catches(node):
            mark = "?"
        todo += [(child, mark) for child in children if isinstance(child, MAY_IMPORT)]
    return found


def module(name: str) -> str:
    """Return the installed module that `name` stands for (a.b.c itself, else a.b, else a), "" if there is none."""
    found, path = "", None
    for part in name.split("."):
        spec = PathFinder.find_spec(f"{found}.{part}".lstrip("."), path)
        if spec is None:
            break
        found, path = spec.name, spec.submodule_search_locations
        if path is None:
            break
        # The search in a package without __init__.py looks here for the one above it.
        sys.modules.setdefault(found, ModuleType(found)).__path__ = path
    return found


def modules(names: set[str]) -> list[str]:
    """Return the installed modules that `names` stand for, sorted; one that must be there has no question mark."""
    needed = {module(name) for name in names if not name.startswith("?")}
    optional = {module(name[1:]) for name in names if name.startswith("?")} - needed
    return sorted({*needed, *(f"?{name}" for name in optional)} - {"", "?"})


def write_record(library: Path, metadata: Path) -> None:
    """Write the RECORD of the project: the files in `library`, which gets it, and those in `metadata`."""
    (info,) = metadata.glob("*.dist-info")
    record = library / info.name / "RECORD"
    rows: list[tuple[str, str, str]] = [(f"{info.name}/RECORD", "", "")]
    for folder in (library, metadata):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            data = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            rows.append((path.relative_to(folder).as_posix(), f"sha256={digest}", str(len(data))))
    record.parent.mkdir()
    with record.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def make_readable(folder: Path) -> None:
    """Let every user read what is in `folder`, whatever the checkout says: 755 for folders and programs, else 644."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def main(arguments: list[str]) -> None:
    """Make the folder APP and the file LIST of the command line (see above)."""
    if len(arguments) != 4:
        sys.exit(__doc__)
    source, metadata, app, file = map(Path, arguments)
    library = app / "lib"
    shutil.copytree(source, library, symlinks=True)
    sources = sorted(path for path in library.rglob("*.py") if path.is_file())
    compile_all(library, sources, app / "bytecode")
    # A folder without __init__.py may share its name with packages that are installed.
    own = {path.stem for path in library.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    names = {name for path in sources for name in imported(ast.parse(path.read_bytes()))}
    wanted = modules({name for name in names if name.lstrip("?").partition(".")[0] not in own})
    file.write_text("".join(f"{name}\n" for name in wanted), encoding="utf-8")
    write_record(library, metadata)
    make_readable(app)


if __name__ == "__main__":
    main(sys.argv[1:])
