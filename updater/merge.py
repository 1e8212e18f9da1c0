"""Merge three versions of a project with git, without a commit or a branch in its repository."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from updater.git import Tree, git, read_tree, without

PYPROJECT = "pyproject.toml"
# For commits that never become part of a history. A CI job has no identity of its own.
IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "update", "EMAIL": "update@localhost", "DATE": "2000-01-01T00:00:00Z"}.items()
}
# A conflict: the team's version, the common one, and the template's.
CONFLICT = re.compile(
    r"^<<<<<<< yours\n(.*?)^\|{7} [^\n]*\n(.*?)^=======\n(.*?)^>>>>>>> template\n", re.MULTILINE | re.DOTALL
)
# Files that are or contain lists with one item per line, and what names the item in its line.
LISTS = {
    PYPROJECT: re.compile(r'\s*"([A-Za-z0-9][\w.-]*)[^"]*",\s*'),  # a requirement, or a rule of a linter
    ".gitignore": re.compile(r"(.+)\n"),
    "docker/apt-build.txt": re.compile(r"(.+)\n"),
    "docker/apt-runtime.txt": re.compile(r"(.+)\n"),
}


@dataclass(frozen=True)
class Merge:
    """The result of a merge."""

    tree: Tree
    stages: dict[str, Tree] = field(default_factory=dict)  # path with a conflict -> its stages, as git numbers them


class Scratch:
    """A temporary git directory that shares the object database of a project's repository."""

    def __init__(self, project: Path, folder: Path) -> None:
        """Make one in `folder` for the repository that holds `project`."""
        kind = git(project, "rev-parse", "--show-object-format").strip()
        git(folder, "init", "--quiet", "--template=", f"--object-format={kind}", "scratch")
        objects = git(project, "rev-parse", "--git-path", "objects").rstrip("\n")
        self.project = project
        self.env = {
            "GIT_DIR": str(folder / "scratch" / ".git"),
            "GIT_OBJECT_DIRECTORY": str((project / objects).resolve()),
            # Its .gitattributes say how to merge which file.
            "GIT_WORK_TREE": str(project),
            **IDENTITY,
        }

    def git(self, *arguments: str, stdin: str = "", allowed: int = 0) -> str:
        """Return the output of `git` here."""
        return git(self.project, *arguments, stdin=stdin, env=self.env, allowed=allowed)

    def add(self, folder: Path) -> Tree:
        """Return a tree of everything in `folder`."""
        self.git("read-tree", "--empty")
        git(folder, "add", "--all", "--force", ".", env=self.env | {"GIT_WORK_TREE": str(folder)})
        return self.files(self.git("write-tree").strip())

    def files(self, tree: str) -> Tree:
        """Return the files of the tree with the id `tree`."""
        return read_tree(self.git("ls-tree", "-r", "-z", "--full-tree", tree))

    def write(self, tree: Tree) -> str:
        """Write a tree to the database and return its id."""
        self.git("read-tree", "--empty")
        lines = "".join(f"{mode} {object_id}\t{path}\0" for path, (mode, object_id) in tree.items())
        self.git("update-index", "-z", "--index-info", stdin=lines)
        return self.git("write-tree").strip()

    def blob(self, text: str) -> str:
        """Write the content of a file to the database and return its id."""
        return self.git("hash-object", "-w", "--stdin", stdin=text).strip()

    def merge(self, base: Tree, yours: Tree, template: Tree) -> Merge:
        """Merge two trees that come from `base`; the argument names appear in the conflict markers."""
        root = self.git("commit-tree", "-m", "old version", self.write(base)).strip()
        for name, tree in {"yours": yours, "template": template}.items():
            commit = self.git("commit-tree", "-p", root, "-m", name, self.write(tree)).strip()
            self.git("update-ref", f"refs/heads/{name}", commit)
        command = ("merge-tree", "--write-tree", "-z", "--no-messages", "yours", "template")
        merged, *conflicts = self.git(*command, allowed=1).split("\0")
        stages: dict[str, Tree] = {}
        for entry in filter(None, conflicts):
            described, path = entry.split("\t", 1)
            mode, object_id, stage = described.split()
            stages.setdefault(path, {})[stage] = (mode, object_id)
        return Merge(self.files(merged), stages)

    def settle(self, merge: Merge) -> tuple[Merge, list[str]]:
        """Return `merge` without the conflicts that need no person, and the files that the team had deleted.

        What a team deletes stays deleted: otherwise every version that changes the file would ask again.
        """
        deleted = sorted(path for path, stages in merge.stages.items() if stages.keys() == {"1", "3"})
        tree = without(merge.tree, set(deleted))
        stages = {path: stages for path, stages in merge.stages.items() if path not in deleted}
        for path in LISTS.keys() & stages.keys():
            mode, object_id = tree[path]
            text = merged_lists(path, self.git("cat-file", "blob", object_id))
            if text is not None:
                tree[path] = (mode, self.blob(text))
                del stages[path]
        return Merge(tree, stages), deleted


def merged_lists(path: str, text: str) -> str | None:
    """Return the file `path` with its conflicts merged item by item; None if one of them is not in a list."""
    conflicts = CONFLICT.findall(text)
    parts = [merged_items(versions, LISTS[path]) for versions in conflicts]
    if not conflicts or None in parts:
        return None
    merged = CONFLICT.sub(lambda _: str(parts.pop(0)), text)
    if path == PYPROJECT:
        try:
            tomllib.loads(merged)
        except tomllib.TOMLDecodeError:
            return None
    return merged


def merged_items(versions: Iterable[str], item: re.Pattern[str]) -> str | None:
    """Merge part of a list item by item, from the team's, the old and the new version; None if that is ambiguous.

    Git sees a conflict when one side changes a line and the other adds one next to it.
    """
    lists = [items(text, item) for text in versions]
    if None in lists:
        return None
    ours, old, theirs = (found or {} for found in lists)
    if old.keys() - ours.keys() - theirs.keys() and ours.keys() - old.keys() != theirs.keys() - old.keys():
        return None  # both sides replaced the same item, by different ones
    kept: dict[str, str | None] = {}
    for name in ours.keys() | old.keys() | theirs.keys():
        mine, before, new = ours.get(name), old.get(name), theirs.get(name)
        if before not in (mine, new) and mine != new:
            return None
        kept[name] = new if mine == before else mine
    order = list(theirs)
    for position, name in enumerate(ours):
        if name not in theirs:
            before_it = list(ours)[position - 1] if position else None
            order.insert(order.index(before_it) + 1 if before_it else 0, name)
    return "".join(kept[name] or "" for name in order)


def items(text: str, item: re.Pattern[str]) -> dict[str, str] | None:
    """Return name -> line of a list with one item per line; None for any other text."""
    found = {}
    for line in text.splitlines(keepends=True):
        name = item.fullmatch(line)
        if not name or name[1] in found:
            return None
        found[name[1]] = line
    return found
