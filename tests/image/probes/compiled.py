"""Print the modules in the image that have no bytecode, though Python can compile them; and how many there are."""

import csv
import importlib.util
import os
import sysconfig
from pathlib import Path

SITE, LIBRARY = Path(sysconfig.get_path("purelib")), Path(os.__file__).parent
# What no service imports.
WITHOUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "_pyrepl"}
WITHOUT |= {"site-packages", "dist-packages"}


def can_be_compiled(path: Path) -> bool:
    """Tell whether a module is one: some packages ship templates, or code for other Pythons."""
    try:
        compile(path.read_bytes(), path, "exec")
    except (SyntaxError, ValueError):
        return False
    return True


records = [csv.reader(path.read_text().splitlines()) for path in SITE.glob("*.dist-info/RECORD")]
modules = [SITE / name for rows in records for name, *_ in rows if name.endswith(".py")]
modules += [path for path in LIBRARY.rglob("*.py") if not WITHOUT & {*path.relative_to(LIBRARY).parts}]
without = [path for path in modules if not Path(importlib.util.cache_from_source(str(path))).exists()]
print(*filter(can_be_compiled, filter(Path.is_file, without)), len(modules))
