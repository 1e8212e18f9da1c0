"""A project that is updated: its .cruft.json, the files of its last commit, its history."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater.git import GitError, Tree, git, read_tree

STATE = ".cruft.json"
Answers = dict[str, Any]


class Refused(Exception):  # noqa: N818 - it is an answer, not an error of this program
    """The update is not possible, and nothing was changed; the text says why and what to do."""


@dataclass(frozen=True)
class Project:
    """A project that can be updated: its work tree is clean."""

    folder: Path
    prefix: str  # its place in its repository: "" or, for example, "services/orders/"
    tree: Tree  # its files in the last commit
    state: dict[str, Any]  # .cruft.json

    def answers(self) -> Answers:
        """Return the recorded answers, without the template's internal variables."""
        context = self.state["context"]["cookiecutter"]
        return {name: value for name, value in context.items() if not name.startswith("_")}

    def history(self, path: str, count: int) -> list[str]:
        """Return the last `count` commits that changed `path`: id and subject."""
        command = ("--literal-pathspecs", "log", f"--max-count={count}", "--format=%h %s", "--", path)
        return git(self.folder, *command).splitlines()


def open_project(folder: Path) -> Project:
    """Return the project in `folder`; Refused if it has no .cruft.json, no commit, or uncommitted changes."""
    path = folder / STATE
    if not path.is_file():
        raise Refused(f"there is no {STATE} in {folder}: run this in the project's folder, or `cruft link` it first")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(state[key], str) for key in ("template", "commit")):
            raise TypeError("template and commit must be text")
        state["context"]["cookiecutter"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{STATE} is not what cruft writes ({type(error).__name__}: {error})") from None
    try:
        prefix = git(folder, "rev-parse", "--show-prefix").rstrip("\n")
    except GitError as error:
        raise Refused(f"{folder} is not in a git repository that can be used: {error}") from None
    if not git(folder, "rev-parse", "--verify", "--quiet", "HEAD", allowed=1):
        raise Refused("there is no commit yet: commit the project first")
    tree = read_tree(git(folder, "ls-tree", "-r", "-z", "HEAD"))
    if STATE not in tree:
        raise Refused(f"{STATE} is not in the last commit: add and commit it")
    if unclean := git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".").rstrip():
        raise Refused(f"the work tree is not clean; commit, stash or delete this first:\n{unclean}")
    return Project(folder, prefix, tree, state)
