"""Compile to bytecode what the service imports, so that a read-only image starts without compiling anything.

    python bytecode.py scan SRC        print the modules that the code below SRC imports, one a line, sorted
    python bytecode.py modules LIST    import the modules that the file LIST names

Importing writes .pyc files below PYTHONPYCACHEPREFIX, the standard library's too (the base image has none).
They are then marked as never to be checked against their source (PEP 552): the image does not change, and its
time stamps may be rewritten. Exit status 1, with the traceback, when a module can't be imported.
"""

import ast
import asyncio
import importlib
import importlib.util
import sys
from pathlib import Path

UNCHECKED_HASH = (1).to_bytes(4, "little")


def scan(source: Path) -> set[str]:
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


def load_modules(names: list[str]) -> None:
    """Import every module among `names`; a name that is not a module is passed over."""
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
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


def mark_unchecked(prefix: Path) -> None:
    """Replace the time stamp of the .pyc files below `prefix` by their source's hash, marked unchecked."""
    for path in prefix.rglob("*.pyc"):
        data = path.read_bytes()
        if data[4:8] != UNCHECKED_HASH:
            source = Path(importlib.util.source_from_cache(str(path)))
            header = data[:4] + UNCHECKED_HASH + importlib.util.source_hash(source.read_bytes())
            path.write_bytes(header + data[16:])


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["scan", source]:
            print(*sorted(scan(Path(source))), sep="\n")
            return
        case ["modules", names]:
            load_modules(Path(names).read_text(encoding="utf-8").split())
        case _:
            sys.exit(__doc__)
    if sys.pycache_prefix is None:
        sys.exit("bytecode.py: set PYTHONPYCACHEPREFIX to the folder that the .pyc files go to")
    mark_unchecked(Path(sys.pycache_prefix))


if __name__ == "__main__":
    main(sys.argv[1:])
