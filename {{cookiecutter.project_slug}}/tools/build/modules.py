"""Find the files that are loaded when the service's imports are, without running any of them.

    python -m build.modules NAMES ALSO LAYERS FOLDER

NAMES, from app.py, and ALSO, which the team edits, name what is imported. Their import statements are followed, and
those of what they import, through the packages and the standard library: what runs when a module is loaded (not the
body of a function, nor what only type checkers see), lazy imports (PEP 810) included.

LAYERS is a folder with the layers of packages, each in one of its own. FOLDER, which is made, gets

    1.txt ...      for each layer, the sources in it that are to be compiled
    python.txt     those of the standard library
    imports.txt    the modules that imports.py tries out; a question mark leads what need not be there

A line of the first two is the SHA-256 of a file and its path in the image. So bytecode.py runs again only when one of
its own files has changed.

The statements are found by their look: a parser takes eight times as long. A file too many costs some bytes; one too
few is found by imports.py.

Exit status 1 when ALSO names a module that is not installed.
"""

import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import FrozenImporter, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path

from build.layer import SITE

# What is loaded by a name that no import statement holds: (package that is imported, package that is there) -> module.
USUAL = {
    ("anyio", "anyio"): "anyio._backends._asyncio",
    ("importlib.metadata", "importlib.metadata"): "importlib.metadata._adapters",
    ("importlib.metadata", "email"): "email.parser",
    ("importlib.resources", "importlib.resources"): "importlib.resources._adapters",
    ("importlib.resources", "importlib"): "importlib.readers",
    ("socket", "socket"): "encodings.idna",
    ("sqlalchemy", "aiomysql"): "sqlalchemy.dialects.mysql.aiomysql",
    ("sqlalchemy", "aiosqlite"): "sqlalchemy.dialects.sqlite.aiosqlite",
    ("sqlalchemy", "asyncpg"): "sqlalchemy.dialects.postgresql.asyncpg",
    ("sqlalchemy", "MySQLdb"): "sqlalchemy.dialects.mysql.mysqldb",
    ("sqlalchemy", "oracledb"): "sqlalchemy.dialects.oracle.oracledb",
    ("sqlalchemy", "psycopg"): "sqlalchemy.dialects.postgresql.psycopg",
    ("sqlalchemy", "psycopg2"): "sqlalchemy.dialects.postgresql.psycopg2",
    ("sqlalchemy", "pymysql"): "sqlalchemy.dialects.mysql.pymysql",
    ("sqlalchemy", "pyodbc"): "sqlalchemy.dialects.mssql.pyodbc",
}

# What does not run when a module is loaded here: the body of a function, what is for type checkers, scripts, other
# systems, or for when an import fails. The first line's indent tells where it ends.
NOT_LOADED = re.compile(
    r"""^([ \t]*)(?:(?:async[ ]+)?def\b
        |if[ ]+(?:\w+\.)?TYPE_CHECKING[ ]*:
        |if[ ]+__name__[ ]*==
        |if[ ]+(?:sys\.platform|os\.name)[ ]*==[ ]*["'](?!linux|posix)
        |except\b)
        .*\n(?:(?:\1[ \t)\]].*|[ \t]*(?:\#.*)?)\n)*""",
    re.M | re.X,
)
# A long string: documentation, with code to read. (`.*?` instead would take seven times as long.)
EXAMPLES = re.compile(r'"""[^"]*(?:""?[^"]+)*"""' + r"|'''[^']*(?:''?[^']+)*'''")
NAMES = r"(\([^)]*\)|(?:[^\n\\]|\\\n)*)"
STATEMENT = re.compile(
    rf"^[ \t]*(?:lazy[ \t]+)?(?:from[ \t]+(\.*[ \t]*[\w.]*)[ \t]+import\b[ \t]*{NAMES}|import[ \t]+{NAMES})", re.M
)


def split(names: str) -> list[str]:
    """Return the names in the list of an import statement: `(a, b as c,  # why` gives a and b."""
    text = re.sub(r"#.*|[()\\]", "", names).partition(";")[0]
    return [words[0] for part in text.split(",") if (words := part.split())]


def imported(code: str, package: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each module that the code of a module in `package` imports, and the names that it takes from it."""
    for match in STATEMENT.finditer(NOT_LOADED.sub("", EXAMPLES.sub("", code))):
        base, names, modules = match.groups()
        if modules is not None:
            yield from ((module, []) for module in split(modules))
            continue
        name = base.replace(" ", "").lstrip(".")
        if level := len(base.replace(" ", "")) - len(name):
            parents = package.split(".")
            name = ".".join(part for part in (*parents[: len(parents) - level + 1], name) if part)
        yield name, split(names)


class Modules:
    """The modules that are loaded, found by following imports through the folders in `path`."""

    def __init__(self, path: list[str]) -> None:
        """Begin with none."""
        self.folders = {"": path}  # of each package; it may have parts in several layers
        self.specs: dict[str, ModuleSpec | None] = {}
        self.todo: list[tuple[str, str]] = []  # the file of a module, and the package that it is in

    def load(self, name: str) -> bool:
        """Note a module, with the packages that it is in; return whether there is one of that name."""
        if name not in self.specs:
            parent, _, last = name.rpartition(".")
            spec = None
            if last and (not parent or self.load(parent)):
                spec = PathFinder.find_spec(last, self.folders.get(parent, []))
            self.specs[name] = spec
            is_package = spec is not None and spec.submodule_search_locations is not None
            if is_package:
                places = [Path(folder, last) for folder in self.folders[parent]]
                self.folders[name] = [str(place) for place in places if place.is_dir()]
            if spec and isinstance(spec.loader, SourceFileLoader):
                self.todo.append((str(spec.origin), name if is_package else parent))
        return self.specs[name] is not None or name in sys.builtin_module_names

    def follow(self) -> None:
        """Note what the modules import, and what these import in turn."""
        while self.todo:
            file, package = self.todo.pop()
            for base, names in imported(Path(file).read_text(encoding="utf-8", errors="replace"), package):
                if self.load(base):
                    for name in names:
                        self.load(f"{base}.{name}")

    def sources(self) -> list[Path]:
        """Return the files of the modules; what is built into the interpreter is loaded from there."""
        found = (spec for name, spec in self.specs.items() if not FrozenImporter.find_spec(name))
        return sorted(Path(str(spec.origin)) for spec in found if spec and isinstance(spec.loader, SourceFileLoader))


def installed(name: str, modules: Modules) -> str:
    """Return the module that a name in NAMES stands for (a.b.c itself, else a.b, else a), "" if there is none."""
    while name and not modules.load(name):
        name = name.rpartition(".")[0]
    return name


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 4:
        sys.exit(__doc__)
    names, also, layers, folder = map(Path, arguments)
    python = [sysconfig.get_path("stdlib"), f"{sysconfig.get_path('platstdlib')}/lib-dynload"]
    modules = Modules([*python, *(f"{layer}{SITE}" for layer in sorted(layers.iterdir()))])
    imports = set()
    for name in names.read_text(encoding="utf-8").split():
        mark = "?" * name.startswith("?")
        imports.add(mark + installed(name.removeprefix("?"), modules))
    for line in also.read_text(encoding="utf-8").splitlines():
        if (name := line.partition("#")[0].strip()) and not modules.load(name):
            sys.exit(f"docker/{also.name}: no module {name} is installed; correct the name, or take it out")
        imports.add(name)
    modules.follow()
    for (user, used), name in USUAL.items():
        if modules.specs.get(user) and modules.load(used) and modules.load(name):
            imports |= {f"?{used}", f"?{name}"}
    modules.follow()

    found: dict[str, list[str]] = {name: [] for name in ("python", *(layer.name for layer in layers.iterdir()))}
    for path in modules.sources():
        layer, place = "python", path
        if path.is_relative_to(layers):
            layer, *parts = path.relative_to(layers).parts
            place = Path("/", *parts)
        found[layer].append(f"{hashlib.sha256(path.read_bytes()).hexdigest()} {place}\n")
    folder.mkdir()
    for name, lines in found.items():
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    wanted = {name for name in imports if name.strip("?")}
    wanted -= {f"?{name}" for name in wanted}
    (folder / "imports.txt").write_text("".join(f"{name}\n" for name in sorted(wanted)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
