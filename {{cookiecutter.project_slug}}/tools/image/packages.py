"""Install the locked packages, compile them, and spread them over the layers of the image.

    python -m image.packages LISTS LAYERS CACHE    wheels only; CACHE keeps bytecode from one build to the next
    python -m image.packages LISTS LAYERS --build  build what has no wheel; no cache, since code of packages runs

LISTS is a folder with lock.py's lists, LAYERS one to make, with the folders 1, 2 ...: each is copied to the root of the
image. uv installs into the virtual environment at /app/.venv, from the mirror or from upstream (mirror.py).

A package's layer follows from its size and its name alone, so that a change of one package moves one layer: those above
HEAVY bytes are spread over the first layers, the others over the rest. Folders named tests inside a package stay out,
unless [tool.image] with-tests names the package.

Exit status: 0 done, 1 a package can't be had or installed, 2 a setting is wrong, 3 a wrong hash.
"""

import csv
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from image import mirror
from image.bytecode import Sources, compile_all
from image.layer import SITE, VENV, settle

# Where uv installs: not in the environment itself, or its Python would run what a package's .pth file says.
INSTALLED = Path("installed")
HEAVY = 4_000_000  # bytes
HEAVY_LAYERS, LIGHT_LAYERS = 3, 4
BACKENDS = Path("docker/build-backends.txt")


class Package(NamedTuple):
    """An installed package: name, RECORD, and path -> hash of each file that stays in the image."""

    name: str
    record: Path
    files: dict[str, str]
    size: int

    @property
    def layer(self) -> int:
        """The number of its layer."""
        number = int(hashlib.sha256(self.name.encode()).hexdigest(), 16)
        return 1 + number % HEAVY_LAYERS if self.size > HEAVY else 1 + HEAVY_LAYERS + number % LIGHT_LAYERS


def install(lists: Path, *options: str) -> None:
    """Install what the lists in a folder name, each from its own index."""
    for path in sorted(lists.glob("*.txt")):
        mirror.index(
            [
                *("uv", "pip", "install", "--quiet", "--python", f"{VENV}/bin/python", "--prefix", str(INSTALLED)),
                *("--link-mode", "copy", "--no-deps", "--require-hashes", *options, "-r", str(path)),
            ]
        )


def installed(with_tests: set[str]) -> Iterator[Package]:
    """Yield the installed packages, by name; their RECORDs lose the tests that stay out."""
    for record in sorted((INSTALLED / SITE.relative_to(VENV)).glob("*.dist-info/RECORD")):
        name = re.sub(r"[-_.]+", "-", record.parent.stem.rpartition("-")[0]).lower()
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
        if name not in with_tests:
            rows = [row for row in rows if "tests" not in row[0].split("/")[1:-1]]
            with record.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        files = {os.path.normpath(SITE / path): digest for path, digest, _ in rows}
        yield Package(name, record, files, sum(int(size or 0) for _, _, size in rows))


def shared(packages: list[Package]) -> dict[str, Package]:
    """Return path -> the last package of each file that several bring with different contents, and name them."""
    owners: dict[str, Package] = {}
    found = {}
    for package in packages:
        for path, digest in package.files.items():
            other = owners.setdefault(path, package)
            if other.files[path] != digest:
                found[path] = package
                mirror.say(f"{other.name} and {package.name} both bring {path}; it is {package.name}'s")
    return found


def split(packages: list[Package], layers: Path, later: dict[str, Package]) -> list[Sources]:
    """Move the files of each package into the folder of its layer; return what is to be compiled there."""
    for number in range(1, 1 + HEAVY_LAYERS + LIGHT_LAYERS):
        (layers / str(number)).mkdir(parents=True)
    found = []
    for package in packages:
        record, modules = package.record.read_bytes(), []
        for path in package.files:
            source, target = f"{INSTALLED}{path.removeprefix(str(VENV))}", f"{layers}/{package.layer}{path}"
            if os.path.exists(source):  # noqa: PTH110 - no: it is another package's, too
                os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
                os.rename(source, target)  # noqa: PTH104
                if path.endswith(".py"):
                    modules.append((target, path))
        # Not by the RECORD alone: some of its modules may be another package's.
        compiled = str([(path, later.get(path, package).files[path]) for _, path in modules]).encode()
        found.append(Sources(modules, hashlib.sha256(record + compiled).hexdigest()))
    return found


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 3:
        sys.exit(__doc__)
    lists, layers, build = Path(arguments[0]), Path(arguments[1]), arguments[2] == "--build"
    cache = None if build else Path(arguments[2])
    header = (lists / "requirements.txt").read_text(encoding="utf-8").splitlines()
    python, with_tests = header[0].removeprefix("# "), set(header[1].removeprefix("# with tests: ").split())
    if python != sys.version.split()[0]:
        sys.exit(f"the full image has Python {sys.version.split()[0]}, the slim one {python}: pull both anew")
    options = ["--no-cache", "--build-constraints", str(BACKENDS)] if build else ["--no-build"]
    install(lists, *options)
    packages = list(installed(with_tests))
    if later := shared(packages):  # uv installs several at a time: whose file it is would be chance
        for package in packages:
            if package in later.values():
                install(lists, *options, f"--reinstall-package={package.name}")
        packages = list(installed(with_tests))
    compile_all(split(packages, layers, later), cache)
    settle(layers)


if __name__ == "__main__":
    main(sys.argv[1:])
