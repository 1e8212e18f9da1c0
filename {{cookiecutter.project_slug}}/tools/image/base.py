"""Make the image that the service runs on out of the base image that this runs in.

    python -B -S -m image.base LIST

Installs the Debian packages that LIST names. Takes out what builds or downloads (pip, wheels) and the right to act as
someone else (setuid, setgid). Gives the service's user a name and a home: libraries ask for both. Makes a virtual
environment, still empty: the layers of packages go into it. Compiles the standard library.

The layer that comes of it has the same digest wherever and whenever this runs. So no file of the base image is simply
removed: a layer notes a removal with its time. A folder that is made again, without the file, hides the old one
instead.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from image import mirror
from image.bytecode import Sources, compile_all
from image.layer import STAMP, make_environment

PROGRAMS = Path("/usr/local/bin")
MOUNTED = ("/dev", "/etc/host", "/etc/resolv.conf", "/proc", "/project", "/run/", "/sys")
# What apt and dpkg leave, with the time in it.
TRACES = ("/var/cache/apt", "/var/cache/ldconfig", "/var/lib/apt/lists")
# Of the standard library, what no service imports; and what is not of it.
NOT_COMPILED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "_pyrepl"}
NOT_COMPILED |= {"site-packages", "dist-packages"}
# Lines for the user that the Dockerfile names. Its home can be written where the root is read-only, too.
USER = {"passwd": "service:*:10001:10001::/tmp:/usr/sbin/nologin\n", "group": "service:*:10001:\n"}


def empty(folder: Path) -> None:
    """Make a folder again, with nothing in it."""
    mode = folder.stat().st_mode
    shutil.rmtree(folder)
    folder.mkdir()
    folder.chmod(mode)


def leave_out(folder: Path, *patterns: str) -> None:
    """Make a folder again, without what has a name like `patterns`."""
    copy = folder.with_name(f"{folder.name}.new")
    shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(*patterns))
    shutil.rmtree(folder)
    copy.rename(folder)


def compile_library() -> None:
    """Compile the standard library: each of its packages, and the modules beside them together."""
    library = Path(os.__file__).parent
    packages: dict[str, list[tuple[str, str]]] = {}
    for path in library.rglob("*.py"):
        package, *inner = path.relative_to(library).parts
        if path.is_file() and not NOT_COMPILED & {package, *inner}:
            packages.setdefault(package if inner else "", []).append((str(path), str(path)))
    compile_all([Sources(files) for files in packages.values()])


def find(*arguments: str) -> list[Path]:
    """Return what `find` finds in the image."""
    command = ["find", "/", "-xdev", *arguments, "-print0"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return [Path(name) for name in output.split("\0") if name]


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 1:
        sys.exit(__doc__)
    began = time.time()
    mirror.main(["apt", arguments[0]])
    for folder in {Path(sys.base_prefix, "lib"), Path("/usr/lib")}:
        for packages in folder.glob("python3*/site-packages"):
            empty(packages)
    for folder in {path.parent for path in find("-name", "*.whl")}:
        empty(folder)
    leave_out(PROGRAMS, "pip*", "wheel")
    for path in find("-type", "f", "-perm", "/6000"):
        path.chmod(path.stat().st_mode & 0o777)
    make_environment()
    compile_library()
    for name, line in USER.items():
        with Path("/etc", name).open("a", encoding="utf-8") as file:
            file.write(line)
    for name in TRACES:
        if Path(name).exists():
            empty(Path(name))
    for path in Path("/var/log").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    # The kernel's clock for files is up to 10 ms behind. What the engine mounts is not of the image.
    changed = [path for path in find("-newermt", f"@{began - 0.01:.6f}") if not str(path).startswith(MOUNTED)]
    subprocess.run(["touch", "-h", "-d", f"@{STAMP}", *map(str, changed)], check=True)  # noqa: S603, S607


if __name__ == "__main__":
    main(sys.argv[1:])
