"""Import what the service imports: the smoke test of its dependencies, and a search for modules without bytecode.

    python imports.py NAMES LIST

Imports the modules that NAMES, written by modules.py, has. LIST gets the sources that were loaded but have no bytecode
below PYTHONPYCACHEPREFIX, since no import statement names them: a line is the SHA-256 of a file and its path.

A module that can't be imported on its own, such as one that has to be configured first, is passed over with a warning.
An ImportError tells of a broken dependency (a library that is missing, a wrong version): exit status 1, with the
traceback, unless the code catches it (a question mark in NAMES).
"""

import asyncio
import gc
import hashlib
import importlib
import os
import sys
from pathlib import Path


def load(name: str) -> None:
    """Import the module `name`; it may fail with an ImportError if a question mark leads."""
    try:
        importlib.import_module(name.removeprefix("?"))
    except ImportError:
        if not name.startswith("?"):
            raise
    except (Exception, SystemExit) as error:  # whatever a module says when it is imported too early
        print(f"imports: {name.removeprefix('?')} can't be imported on its own: {error!r}", file=sys.stderr)


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


def without_bytecode() -> list[Path]:
    """Return the sources of the modules that are loaded, but for those that were loaded from bytecode."""
    specs = [getattr(module, "__spec__", None) for module in sys.modules.values()]
    found = {(str(spec.origin), str(spec.cached)) for spec in specs if spec and spec.has_location and spec.cached}
    return sorted(Path(origin) for origin, cached in found if not Path(cached).exists())


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2 or sys.pycache_prefix is None:
        sys.exit(__doc__)
    names = Path(arguments[0]).read_text(encoding="utf-8").split()
    gc.disable()  # what is imported stays
    for name in names:
        load(name)
    if "fastapi" in names:
        asyncio.run(start_fastapi())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path}\n" for path in without_bytecode()]
    Path(arguments[1]).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # taking thousands of modules down in order would take half a second
