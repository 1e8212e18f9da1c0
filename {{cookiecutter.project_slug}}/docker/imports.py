"""Find the modules among the names that the project imports, so that a new name alone compiles nothing again.

    python imports.py NAMES LIST

NAMES is what project.py has written. LIST gets, one a line and sorted, the installed modules that they stand
for: a.b.c itself, or else a.b, or else a. A name that stands for none is left out: it may be one for certain
machines only, and if not, the service tells at its start. Nothing is imported.
"""

# ruff: noqa: PTH123 - the base image has no bytecode: loading pathlib would take longer than all of this
import sys
from importlib.machinery import PathFinder
from types import ModuleType


def module(name: str) -> str:
    """Return the installed module that `name` stands for, "" if there is none."""
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


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    with open(arguments[0], encoding="utf-8") as file:
        names = file.read().split()
    needed = {module(name) for name in names if not name.startswith("?")}
    optional = {module(name[1:]) for name in names if name.startswith("?")} - needed
    lines = {*needed, *(f"?{name}" for name in optional)} - {"", "?"}
    with open(arguments[1], "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in sorted(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
