"""Compile to bytecode what the service imports, so that a read-only image starts without compiling anything.

    python bytecode.py LIST FOLDER

Imports the modules that LIST, written by imports.py, names. Python leaves their .pyc files, and those of
whatever they import, the standard library's too (the base image has none), below PYTHONPYCACHEPREFIX. That is
a cache: its files are checked against their sources when they are used again (PEP 552). FOLDER gets a copy of
those that were needed, marked as never to be checked: the image does not change, and its time stamps may be
rewritten.

A module that can't be imported on its own, such as one that has to be configured first, is passed over with a
warning. An ImportError tells of a broken dependency (a library that is missing, a wrong version): exit status
1, with the traceback, unless the code catches it (a question mark in LIST).
"""

import asyncio
import gc
import importlib
import importlib.util
import os
import py_compile
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

UNCHECKED_HASH, CHECKED_HASH = ((flags).to_bytes(4, "little") for flags in (1, 3))
BY_TIME = bytes(4)
BEGAN = time.time() - time.process_time()  # when this process did


def load(name: str) -> None:
    """Import the module `name`; it may fail with an ImportError if a question mark leads."""
    try:
        importlib.import_module(name.lstrip("?"))
    except ImportError:
        if not name.startswith("?"):
            raise
    except Exception as error:  # whatever a module says when it is imported too early
        print(f"bytecode: {name.lstrip('?')} can't be imported on its own: {error!r}", file=sys.stderr)


def load_all(names: list[str]) -> None:
    """Import every module among `names`."""
    for name in names:
        load(name)
    if "fastapi" in names:
        asyncio.run(start_fastapi())


async def start_fastapi() -> None:
    """Let FastAPI import what it leaves until there is a route with a parameter, and until it starts."""
    app = importlib.import_module("fastapi").FastAPI()
    app.get("/")(lambda name: name)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    async def send(_message: object) -> None:
        pass

    await app({"type": "lifespan", "app": app, "state": {}}, receive, send)


def package_of(name: str) -> str:
    """Return the top-level package of a name in LIST."""
    return name.lstrip("?").partition(".")[0]


def is_new(package: str) -> bool:
    """Return whether the cache has no bytecode of a top-level package that needs some."""
    spec = importlib.util.find_spec(package)
    return bool(spec and spec.cached and not Path(spec.cached).exists())


def weight(package: str) -> int:
    """Return the bytes of source in a top-level package."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return sum(path.stat().st_size for folder in folders for path in Path(folder).rglob("*.py"))


def meanwhile(work: Callable[[], None]) -> None:
    """Do `work` in a second process, whose output and failures do not count."""
    if os.fork() == 0:
        try:
            for descriptor in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            work()
        finally:
            os._exit(0)


def needed() -> set[str]:
    """Return a set that holds, from now on, the path of the .pyc file of every module loaded."""
    specs = [getattr(module, "__spec__", None) for module in sys.modules.values()]
    found = {str(getattr(spec, "cached", "")) for spec in specs}
    get_code = SourceFileLoader.get_code

    def noticed(loader: SourceFileLoader, name: str) -> CodeType | None:
        found.add(importlib.util.cache_from_source(loader.path))
        return get_code(loader, name)

    # Not an audit hook: called for every other event too, it made all of this a fifth slower.
    SourceFileLoader.get_code = noticed  # type: ignore[assignment]
    return found


def copy(path: Path, cache: Path, folder: Path) -> None:
    """Copy a .pyc file below `cache` to below `folder`; the copy is never checked, the original by hash."""
    data = path.read_bytes()
    if data[4:8] == BY_TIME:
        source = Path(importlib.util.source_from_cache(str(path)))
        if path.stat().st_mtime < BEGAN:  # an interrupted build left it: its time stamp proves nothing
            py_compile.compile(str(source), str(path), doraise=True)
            data = path.read_bytes()
        data = data[:4] + CHECKED_HASH + importlib.util.source_hash(source.read_bytes()) + data[16:]
        with path.open("r+b") as file:
            file.write(data[:16])
    target = folder / path.relative_to(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data[:4] + UNCHECKED_HASH + data[8:])


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2 or sys.pycache_prefix is None:
        sys.exit(__doc__)
    names = Path(arguments[0]).read_text(encoding="utf-8").split()
    sys.dont_write_bytecode = False  # whatever the base image says
    gc.disable()  # what is imported stays
    paths = needed()
    # The other process begins with what takes longest to compile, which is done when this one gets there.
    new = {package for package in map(package_of, names) if is_new(package)}
    heaviest = sorted(new, key=weight, reverse=True)
    meanwhile(lambda: load_all([*heaviest, *(name for name in names if package_of(name) in new)]))
    load_all(names)
    os.wait()
    cache = Path(sys.pycache_prefix)
    made = [path for path in map(Path, sorted(paths)) if path.is_relative_to(cache) and path.exists()]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda path: copy(path, cache, Path(arguments[1])), made))


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # taking thousands of modules down in order would take half a second
