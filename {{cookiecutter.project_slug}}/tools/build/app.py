"""Make the project's part of the image from its sources: files, bytecode, a RECORD, and a list of what they import.

    python -m build.app CONTEXT METADATA LAYERS LIST

CONTEXT has what .dockerignore lets into a build, METADATA the layer that lock.py made, with the project's
.dist-info folder (PEP 517) and its programs. LAYERS is a folder to make, with two in it that are copied to the root of
the image: `runtime` with what the template's updates change, and `project` with the rest, so that a commit of the
team's does not move the former. /app/lib gets what
is in src/, readable for all, and the RECORD that an installer would have written (the hash and size of every file);
/app itself gets the files and folders beside src/ that are not of the build; /app/bytecode gets the bytecode of both,
marked as never to be checked against the sources (PEP 552), since an image does not change.

The file LIST gets, one a line and sorted, what the sources import from elsewhere. `from a import b` stands there as
a.b, which may be a module or what a defines. A question mark leads what need not be there: the code catches the
ImportError. Nothing is imported.

Exit status 1, with the reasons, when sources can't be compiled, or when a file's place is taken in the image.
"""

import ast
import base64
import csv
import hashlib
import os
import py_compile
import shutil
import sys
from pathlib import Path

from build.layer import settle

CAUGHT = {"BaseException", "Exception", "ImportError", "ModuleNotFoundError"}
MAY_IMPORT = ast.stmt | ast.excepthandler | ast.match_case
# What the build itself needs of the context, and what the image has in /app.
OF_THE_BUILD = {"docker", "tools", "src", "pyproject.toml", "poetry.lock", "README.md", "LICENSE"}
TAKEN = {".venv", "bytecode", "lib"}
RUNTIME = "service_runtime"  # what is the template's


def copy(context: Path, app: Path) -> None:
    """Copy what belongs into the image to `app`, its /app: src/ to lib, what lies beside src/ as it is."""
    beside = [path for path in sorted(context.iterdir()) if path.name not in OF_THE_BUILD]
    if taken := [path.name for path in beside if path.name in TAKEN]:
        sys.exit(f".dockerignore lets {', '.join(taken)} into the image, which has its own in that place: rename it")
    places = {context / "src": app / "lib"} | {path: app / path.name for path in beside}
    for source, target in places.items():
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target, follow_symlinks=False)


def compile_all(root: Path, sources: list[Path]) -> None:
    """Compile `sources`, which lie in `root`, the image's, laid out as for PYTHONPYCACHEPREFIX in the image."""
    bytecode = root / "app/bytecode"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    errors = []
    for path in sources:
        name = "/" / path.relative_to(root)
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


def split(project: Path, runtime: Path) -> None:
    """Move what is the template's from one layer to another."""
    for folder in ("app/lib", "app/bytecode/app/lib"):
        (runtime / folder).mkdir(parents=True)
        if (project / folder / RUNTIME).exists():
            (project / folder / RUNTIME).rename(runtime / folder / RUNTIME)


def write_record(app: Path, metadata: Path) -> None:
    """Write the RECORD of the project, which `app` gets: the files in there, and those in the layer `metadata`."""
    library = app / "lib"
    (info,) = metadata.glob("app/lib/*.dist-info")
    record = library / info.name / "RECORD"
    rows: list[tuple[str, str, str]] = [(f"{info.name}/RECORD", "", "")]
    for folder, start in ((app, library), (metadata, metadata / "app/lib")):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            data = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            rows.append((os.path.relpath(path, start), f"sha256={digest}", str(len(data))))
    record.parent.mkdir()
    with record.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main(arguments: list[str]) -> None:
    """Make the folder LAYERS and the file LIST of the command line (see above)."""
    if len(arguments) != 4:
        sys.exit(__doc__)
    context, metadata, layers, file = map(Path, arguments)
    project, runtime = layers / "project", layers / "runtime"
    app, library = project / "app", project / "app/lib"
    app.mkdir(parents=True)
    copy(context, app)
    write_record(app, metadata)
    sources = sorted(path for path in app.rglob("*.py") if path.is_file())
    compile_all(project, sources)
    # A folder without __init__.py may share its name with packages that are installed.
    own = {path.stem for path in library.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    names = {name for path in sources for name in imported(ast.parse(path.read_bytes()))}
    wanted = {name for name in names if name.lstrip("?").partition(".")[0] not in own}
    wanted -= {f"?{name}" for name in wanted}
    file.write_text("".join(f"{name}\n" for name in sorted(wanted)), encoding="utf-8")
    split(project, runtime)
    settle(layers)


if __name__ == "__main__":
    main(sys.argv[1:])
