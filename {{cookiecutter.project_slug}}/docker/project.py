"""Make the project's part of the image from its sources: bytecode, a RECORD, a list of what they import.

    python project.py APP METADATA LIST

APP/lib has the sources, METADATA the .dist-info folder that a build backend made (PEP 517). APP/bytecode
gets the bytecode, marked as never to be checked against the sources (PEP 552): an image does not change.
APP/lib gets the RECORD that an installer would have written: the hash and size of every file. The file LIST
gets the names that the sources import, one a line, sorted: `from a import b` gives `a.b`, since b may be a
module. A question mark leads what need not be there: the code catches the ImportError. Exit status 1, with
the reasons, when sources can't be compiled.
"""

import ast
import base64
import csv
import hashlib
import py_compile
import sys
from pathlib import Path

CAUGHT = {"BaseException", "Exception", "ImportError", "ModuleNotFoundError"}
MAY_IMPORT = ast.stmt | ast.excepthandler | ast.match_case


def compile_all(sources: list[Path], bytecode: Path) -> None:
    """Compile `sources` into `bytecode`, laid out as for PYTHONPYCACHEPREFIX."""
    sys.pycache_prefix = str(bytecode)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    errors = []
    for path in sources:
        try:
            py_compile.compile(str(path), doraise=True, invalidation_mode=mode)
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


def imported(source: ast.Module) -> set[str]:
    """Return what the code imports, marked, without what only type checkers see."""
    found = set()
    todo: list[tuple[ast.AST, str]] = [(source, "")]
    while todo:
        node, mark = todo.pop()
        if isinstance(node, ast.Import):
            found |= {mark + alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{mark}{node.module}.{alias.name}" for alias in node.names}
        children = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in vars(node.test).values():
            children = iter(node.orelse)
        if catches(node):
            mark = "?"
        todo += [(child, mark) for child in children if isinstance(child, MAY_IMPORT)]
    return found


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


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 3:
        sys.exit(__doc__)
    app, metadata, file = map(Path, arguments)
    library = app / "lib"
    sources = sorted(path for path in library.rglob("*.py") if path.is_file())
    # A folder without __init__.py may share its name with packages that are installed.
    own = {path.stem for path in library.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    compile_all(sources, app / "bytecode")
    found = {name for path in sources for name in imported(ast.parse(path.read_bytes()))}
    wanted = sorted(name for name in found if name.lstrip("?").partition(".")[0] not in own)
    file.write_text("".join(f"{name}\n" for name in wanted), encoding="utf-8")
    write_record(library, metadata)


if __name__ == "__main__":
    main(sys.argv[1:])
