"""Check that poetry.lock fits pyproject.toml; write what it locks, with hashes, and the project's metadata.

    python lock.py FILE FOLDER

Reads both in the working folder, with Poetry's own reader (`poetry export` says the same, but takes more than
twice as long, as it loads all of Poetry). FILE, a requirements file, names the packages of the main group,
with their markers and the hashes of their files; an index that pyproject.toml names ([[tool.poetry.source]])
is an extra one. FOLDER gets the .dist-info folder of the project's wheel, but for RECORD (PEP 517).

Exit status 1 when poetry.lock is missing, stale, unreadable, or names something without a hash (from git, an
address or a folder); and when pyproject.toml wants another wheel than one of all that is in src/.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from poetry.core.masonry.api import prepare_metadata_for_build_wheel
from poetry.core.packages.package import Package
from poetry.packages.locker import Locker

MAIN = canonicalize_name("main")
REMEDY = "run 'make lock' and commit the file"


def requirement(package: Package, marker: Any) -> str:  # noqa: ANN401 - Poetry's markers share no public type
    """Return the entry of a package in a requirements file."""
    if package.source_type not in (None, "legacy"):
        sys.exit(
            f"{package.name} is locked to {package.source_type} {package.source_url}, which has no hash:"
            " an image takes packages from an index only; publish it there"
        )
    condition = "" if marker.is_any() else f" ; {marker}"
    hashes = sorted(file["hash"] for file in package.files)
    pinned = f"{package.name}=={package.version}{condition}"
    return " \\\n    ".join([pinned, *(f"--hash={value}" for value in hashes)])


def requirements(locker: Locker) -> str:
    """Return the requirements file for the packages of the main group."""
    entries, indexes = set(), set()
    for package, info in locker.locked_packages().items():
        if MAIN not in info.groups:
            continue
        marker = info.markers[MAIN].apply({"extra": ()})
        if not marker.is_empty():  # as that of a package for an extra of the project is
            entries.add(requirement(package, marker))
            indexes |= {f"--extra-index-url {package.source_url}"} if package.source_url else set()
    return "".join(f"{line}\n" for line in (*sorted(indexes), *sorted(entries)))


def prepare_metadata(settings: dict[str, Any], folder: str) -> None:
    """Make the .dist-info folder in `folder`; refuse [tool.poetry] settings that the image can't follow."""
    ignored: list[str] = [key for key in ("build", "exclude", "include") if key in settings]
    if any(item.get("from") != "src" or "to" in item for item in settings.get("packages", [])):
        ignored.append("packages")
    if ignored:
        sys.exit(
            f"pyproject.toml: tool.poetry has {', '.join(ignored)}, but the image takes src/ as it is:"
            " keep there what belongs into the image and nothing else, and take the setting out"
        )
    try:
        prepare_metadata_for_build_wheel(folder)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"pyproject.toml: the project's metadata can't be made of it: {error}")


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"pyproject.toml can't be read: {error}")
    locker = Locker(Path("poetry.lock").resolve(), project)
    if not locker.is_locked():
        sys.exit(f"poetry.lock is missing: {REMEDY}")
    try:
        if not locker.is_fresh():
            sys.exit(f"poetry.lock does not fit pyproject.toml: {REMEDY}")
        if not locker.is_locked_groups_and_markers():
            sys.exit(f"poetry.lock was written by a Poetry older than 2.0: {REMEDY}")
        text = requirements(locker)
    except (RuntimeError, ValueError) as error:
        sys.exit(f"poetry.lock can't be read: {error}")
    file, folder = map(Path, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    prepare_metadata(project.get("tool", {}).get("poetry", {}), str(folder))
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
