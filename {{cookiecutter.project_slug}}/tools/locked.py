"""Print what poetry.lock has for groups of pyproject.toml, as a requirements file with hashes.

    python tools/locked.py GROUP [GROUP ...]

Exit status 2, with the reason, if poetry.lock has nothing for a group, or can't be read.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn


def fail(reason: str) -> NoReturn:
    """End with status 2 and the reason."""
    print(reason, file=sys.stderr)
    sys.exit(2)


def packages(*groups: str) -> list[dict[str, Any]]:
    """Return the entries of poetry.lock for `groups`; end, with the reason, if one of them has none."""
    try:
        locked = tomllib.loads(Path("poetry.lock").read_text(encoding="utf-8"))["package"]
    except (OSError, ValueError, KeyError) as error:
        fail(f"poetry.lock can't be read ({error!r}): run `make lock`")
    for group in groups:
        if not any(group in package["groups"] for package in locked):
            fail(f"poetry.lock has no package for the group {group!r} of pyproject.toml: run `make lock`")
    return [package for package in locked if not set(groups).isdisjoint(package["groups"])]


def requirement(package: dict[str, Any], groups: tuple[str, ...]) -> str:
    """Return the line for an entry of poetry.lock; its marker may depend on the group."""
    marker = package.get("markers", "")
    if isinstance(marker, dict):
        found = [marker.get(group, "") for group in groups if group in package["groups"]]
        marker = "" if "" in found else " or ".join(f"({one})" for one in found)
    hashes = "".join(f" --hash={file['hash']}" for file in package["files"])
    return f"{package['name']}=={package['version']}{f' ; {marker}' if marker else ''}{hashes}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(*(requirement(package, tuple(sys.argv[1:])) for package in packages(*sys.argv[1:])), sep="\n")
