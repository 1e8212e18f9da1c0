"""Which files are the team's, and which the template's; all others are shared.

The template's are the folders that its cookiecutter.json names in `_copy_without_render`, and no other place names
them: an update overwrites them. The team's are those of `[tool.cruft] skip` in pyproject.toml: an update leaves them
alone. A file that both name is the team's.
"""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path

from updater.git import Tree
from updater.merge import PYPROJECT
from updater.project import Project, Refused
from updater.template import Render


def skip_list(folder: Path, where: str) -> set[str] | None:
    """Return [tool.cruft] skip of the pyproject.toml in `folder`, None without one; errors call it that of `where`."""
    path = folder / PYPROJECT
    if not path.is_file():
        return None
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("cruft", {}).get("skip")
    except ValueError as error:
        raise Refused(f"{PYPROJECT} of {where} can't be read: {error}") from None
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
        raise Refused(f"{PYPROJECT} of {where}: [tool.cruft] skip must be a list of paths")
    return set(listed)


def matching(patterns: Iterable[str], folders: Iterable[Path]) -> set[str]:
    """Return the files and folders in `folders` that match `patterns`; as for cruft, one with a * is a glob."""
    found = set()
    for pattern in patterns:
        for folder in folders:
            try:
                hits = list(folder.glob(pattern)) if "*" in pattern else [folder / pattern]
            except (ValueError, NotImplementedError) as error:
                raise Refused(f"[tool.cruft] skip has {pattern!r}, which is not a path: {error}") from None
            found |= {Path(os.path.relpath(hit, folder)).as_posix() for hit in hits}
    return found


def within(path: str, places: set[str]) -> bool:
    """Tell whether `path`, or a folder that contains it, is one of `places`."""
    return "." in places or not places.isdisjoint([path, *map(str, Path(path).parents)])


def owners(project: Project, old: Render, new: Render, base: Tree, theirs: Tree) -> tuple[set[str], set[str]]:
    """Return the team's files and the template's, of the project and of both renders (`base` and `theirs`).

    The list of the new version counts, since it may add template files to a folder that was all the team's, together
    with what the team has added to its list or removed from it. Files that belonged to the team until now stay
    untouched even if the new list no longer has them.
    """
    before = skip_list(old.folder, "the template's old version") or set()
    after = skip_list(new.folder, "the template's new version") or set()
    listed = skip_list(project.folder, "this project")
    own = (before if listed is None else listed) | set(project.state.get("skip") or [])
    folders = (project.folder, old.folder, new.folder)
    now = matching((after | (own - before)) - (before - own), folders)
    until_now = matching(own, folders)
    paths = project.tree.keys() | base.keys() | theirs.keys()
    brought = theirs.keys() - base.keys()
    team = {path for path in paths if within(path, now) or (within(path, until_now) and path not in brought)}
    places = matching(new.folders(), folders)
    return team, {path for path in paths - team if within(path, places)}
