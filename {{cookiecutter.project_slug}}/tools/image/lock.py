"""Check that poetry.lock fits pyproject.toml, and write what uv installs: lists of requirements with hashes.

    python -m image.lock FOLDER [--wheels | --development | --group=NAME]

Reads both in the working folder, with Poetry's own reader. FOLDER, which is made, gets

    requirements.txt        the main group: each package with its marker, and the hash of each of its files
    requirements-1.txt ...  the packages that come from an index of their own; the first line names it

The first two lines of requirements.txt have the version of this Python, and the packages whose tests stay in the image.
[tool.image] of pyproject.toml names these, `with-tests`, and the `extras` of the project that the image takes.

--wheels refuses packages that have source archives alone. --group takes another group than main, --development all
groups, and all extras unless [tool.image] names some (extras may exclude each other).

Exit status 1 when poetry.lock is missing, stale, unreadable, or names something without a hash (from git, a folder or
a file), and when [tool.image] names what there is not.
"""

import re
import shutil
import sys
import tomllib
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from poetry.core.packages.package import Package
from poetry.core.version.markers import BaseMarker, EmptyMarker
from poetry.packages.locker import Locker

REMEDY = "run 'make lock' and commit the file"


def known(image: dict[str, Any], key: str, names: Collection[str]) -> set[str]:
    """Return the list `key` of [tool.image]; end unless it is a list of some of `names`."""
    wanted = image.get(key, [])
    found = {canonicalize_name(str(name)) for name in wanted} if isinstance(wanted, list) else None
    if found is None or found - {*names}:
        allowed = ", ".join(sorted(names)) or "nothing: there is none"
        sys.exit(f"pyproject.toml: tool.image.{key} is {wanted!r}; allowed: a list of some of {allowed}")
    return {*found}


def read(path: Path, project: dict[str, Any]) -> Locker:
    """Return the lock file at `path`. Ends with 1 unless it is there, can be read, and fits the project."""
    locker = Locker(path.resolve(), project)
    if not locker.is_locked():
        sys.exit(f"poetry.lock is missing: {REMEDY}")
    if not locker.is_fresh():
        sys.exit(f"poetry.lock does not fit pyproject.toml: {REMEDY}")
    if not locker.is_locked_groups_and_markers():
        sys.exit(f"poetry.lock was written by a Poetry older than 2.0: {REMEDY}")
    return locker


def chosen(locker: Locker, wanted: str, extras: Collection[str]) -> dict[Package, BaseMarker]:
    """Return the locked packages of a group ("": of all), each with the marker under which it is needed."""
    found: dict[Package, BaseMarker] = {}
    for package, info in locker.locked_packages().items():
        marker: BaseMarker = EmptyMarker()
        for group in info.groups:
            if wanted in ("", group):
                marker = marker.union(info.markers[group].apply({"extra": tuple(extras)}))
        if not marker.is_empty():
            found[package] = marker
    return found


def requirement(package: Package, marker: BaseMarker) -> str:
    """Return a package as a requirement with hashes. Ends with 1 if it has none."""
    kind = package.source_type or "an index"
    if kind not in ("an index", "legacy", "url") or not package.files:
        sys.exit(
            f"{package.name} is locked to {kind} {package.source_url}, which has no hash: publish it on an index,"
            f' or name the address of an archive, "{package.name} @ https://..."'
        )
    address = f" @ {package.source_url} " if kind == "url" else f"=={package.version}"
    hashes = " ".join(f"--hash={file['hash']}" for file in package.files)
    return f"{package.name}{address}{'' if marker.is_any() else f' ; {marker}'} {hashes}"


def lists(packages: Mapping[Package, BaseMarker]) -> dict[str, list[str]]:
    """Return file name -> lines."""
    by_index: dict[str, list[str]] = defaultdict(list)
    for package, marker in packages.items():
        by_index[(package.source_type == "legacy" and package.source_url) or ""].append(requirement(package, marker))
    found = {"requirements.txt": sorted(by_index.pop("", []))}
    for number, url in enumerate(sorted(by_index), 1):
        # A flat page, as Poetry tells it from an index.
        option = "--no-index --find-links" if re.search(r"\.html?$", url) else "--index-url"
        found[f"requirements-{number}.txt"] = [f"{option} {url}", *sorted(by_index[url])]
    return found


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    folder, option = [*arguments, "", ""][:2]
    if len(arguments) not in (1, 2) or not re.fullmatch("|--wheels|--development|--group=.+", option):
        sys.exit(__doc__)
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"pyproject.toml can't be read: {error}")
    image = project.get("tool", {}).get("image", {})
    if strangers := image.keys() - {"extras", "with-tests"}:
        sys.exit(f"pyproject.toml: tool.image has {', '.join(sorted(strangers))}; allowed: extras, with-tests")
    own = [canonicalize_name(name) for name in project.get("project", {}).get("optional-dependencies", {})]
    extras, development = known(image, "extras", own), option == "--development"
    group = "" if development else option.removeprefix("--group=") if "=" in option else "main"
    try:
        locker = read(Path("poetry.lock"), project)
        packages = chosen(locker, group, extras or own if development else extras)
    except (RuntimeError, ValueError) as error:
        sys.exit(f"poetry.lock can't be read: {error}")
    with_tests = known(image, "with-tests", {package.name for package in packages}) if group in ("", "main") else ()
    for package in packages if option == "--wheels" else ():
        if not any(file["file"].endswith(".whl") for file in package.files):
            sys.exit(
                f"{package.name}=={package.version} has no wheel: take a version that has one, or answer"
                " build_image=full (an image with a compiler; see README.md)"
            )
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True)
    for name, lines in lists(packages).items():
        header = [f"# {sys.version.split()[0]}", f"# with tests: {' '.join(sorted(with_tests))}"]
        text = "\n".join([*(header if name == "requirements.txt" else []), *lines, ""])
        Path(folder, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
