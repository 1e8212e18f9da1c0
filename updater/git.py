"""Run git in a way that nobody's settings change, and read what it prints.

A version of a project is a Tree: the mode and the object id of each file, by path.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Set inside a git hook or alias; they would make git work on another repository than the one asked for.
MISLEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
# Git's own defaults, whatever its user has configured, so that an update has the same result for everybody. The one
# exception: renaming a whole folder does not move the team's new files, which stay where the team put them.
SETTINGS = {
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    "core.safecrlf": "false",
    "merge.renames": "true",
    "merge.directoryRenames": "false",
    "merge.conflictStyle": "diff3",
    "diff.renames": "true",
}

Tree = dict[str, tuple[str, str]]


class GitError(Exception):
    """A git command failed; the text is the reason that git gave."""


def git(folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None, allowed: int = 0) -> str:
    """Return the output of `git` in `folder`, with surrogates for bytes that are not UTF-8.

    Raises GitError if git ends with a status above `allowed`: for a question that it answers with 1, that is 1.
    """
    clean = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    done = subprocess.run(
        ["git", *settings, *arguments],
        cwd=folder,
        env={**clean, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(env or {})},
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    if not 0 <= done.returncode <= allowed:
        raise GitError(done.stderr.decode("utf-8", "replace").strip() or f"git {arguments[0]} failed")
    return done.stdout.decode("utf-8", "surrogateescape")


def read_tree(listing: str) -> Tree:
    """Return the files in the output of `git ls-tree -r -z`."""
    found: Tree = {}
    for line in filter(None, listing.split("\0")):
        described, path = line.split("\t", 1)
        mode, _, object_id = described.split()
        found[path] = (mode, object_id)
    return found


def without(tree: Tree, paths: set[str]) -> Tree:
    """Return `tree` without the files `paths`."""
    return {path: entry for path, entry in tree.items() if path not in paths}
