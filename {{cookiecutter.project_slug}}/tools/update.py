"""Bring this project up to date with its template by git's own three-way merge: `make update`.

    python tools/update.py [--check] [--to REF] [--vars JSON] [--branch NAME]

The template is rendered twice with the answers in .cruft.json: as it was at the recorded commit, and as it is now. Git
merges the difference into the project, as if the new version were a branch that had left at the old one. That takes no
history: a shallow clone, a fresh one, or an earlier update that was squashed make no difference.

Runs in the folder that has .cruft.json, with a Python that has cookiecutter (`make` uses .tools/cookiecutter). The last
line that it prints names its exit status:
    0  merged without conflict, or nothing new
    1  merged; the conflicts are marked in their files, listed, and left unmerged for `git status`
    2  not possible; nothing was touched
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# The first with `git merge-tree --write-tree`.
GIT_NEEDED = (2, 38)
STATE = ".cruft.json"
PYPROJECT = "pyproject.toml"
CHANGELOG = "CHANGELOG.md"
# Set inside a git hook or an alias; they would lead git away from the folder that it is started in.
LEADING_AWAY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
# Git's own defaults, whatever its user has configured: the same update for everybody. A folder that was renamed as a
# whole does not draw the team's new files along, though: they stay where the team has put them.
SETTINGS = {
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "merge.renames": "true",
    "merge.directoryRenames": "false",
    "merge.conflictStyle": "diff3",
    "diff.renames": "true",
}
# These commits are never part of a history; a CI job has no identity of its own.
IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "update", "EMAIL": "update@localhost", "DATE": "2000-01-01T00:00:00Z"}.items()
}

# Cookiecutter runs what is between these in an answer as code.
JINJA = re.compile(r"\{[{%#]")
ANSWER = re.compile(r"\{\{ cookiecutter\.(\w+) \}\}")

Tree = dict[str, tuple[str, str]]  # path -> mode and object id of the file
Answers = dict[str, Any]


class Refused(Exception):  # noqa: N818 - it is an answer, not an error of this program
    """The update is not possible: says what is wrong and what to do. Nothing has been touched."""


class GitError(Exception):
    """A git command failed: holds the reason that git gave."""


def git(folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """Return what `git` prints in `folder`, with surrogates for bytes that are not UTF-8; GitError when it fails."""
    clean = {name: value for name, value in os.environ.items() if name not in LEADING_AWAY}
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    done = subprocess.run(  # noqa: S603
        ["git", *settings, *arguments],  # noqa: S607
        cwd=folder,
        env={**clean, "LC_ALL": "C", **(env or {})},
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    # merge-tree tells of conflicts with 1 and of errors with more.
    if done.returncode > (arguments[0] == "merge-tree"):
        raise GitError(done.stderr.decode("utf-8", "replace").strip() or f"git {arguments[0]} failed")
    return done.stdout.decode("utf-8", "surrogateescape")


def read_tree(listing: str) -> Tree:
    """Return the files of a tree from what `git ls-tree -r -z` prints."""
    found: Tree = {}
    for line in filter(None, listing.split("\0")):
        described, path = line.split("\t", 1)
        mode, _, object_id = described.split()
        found[path] = (mode, object_id)
    return found


@dataclass(frozen=True)
class Project:
    """A project that can be updated: its tree is clean."""

    folder: Path
    prefix: str  # where it lies in its repository: "" or e.g. "services/orders/"
    objects: Path  # the object database of its repository
    tree: Tree  # what its last commit holds
    state: dict[str, Any]  # .cruft.json

    def answers(self) -> Answers:
        """Return the recorded answers, without what the template makes of them."""
        context = self.state["context"]["cookiecutter"]
        return {name: value for name, value in context.items() if not name.startswith("_")}

    def history(self, path: str) -> list[str]:
        """Return what the last commits say that touched `path`."""
        command = ("--literal-pathspecs", "log", "--max-count=3", "--format=%h %s", "--", path)
        return git(self.folder, *command).splitlines()


def check_tools() -> None:
    """Refuse to work without cookiecutter or git, or with a git that can't merge trees."""
    if not find_spec("cookiecutter"):
        raise Refused(f"{sys.executable} has no cookiecutter: `make update` installs it and runs this")
    if not shutil.which("git"):
        raise Refused("git is not installed")
    version = git(Path.cwd(), "version")
    found = re.search(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < GIT_NEEDED:
        raise Refused(f"{version.strip()} is too old: 2.38 or newer is needed")


def open_project(folder: Path) -> Project:
    """Return the project in `folder`; refuse one that is no git repository, not clean, or not from a template."""
    path = folder / STATE
    if not path.is_file():
        raise Refused(f"there is no {STATE} in {folder}: run this in the project's folder, or `cruft link` it first")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        _ = state["template"], state["commit"], state["context"]["cookiecutter"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{STATE} is not what cruft writes ({type(error).__name__}: {error})") from None
    try:
        prefix = git(folder, "rev-parse", "--show-prefix").rstrip("\n")
        objects = folder / git(folder, "rev-parse", "--git-path", "objects").rstrip("\n")
    except GitError as error:
        raise Refused(f"{folder} is not in a git repository that can be used: {error}") from None
    try:
        tree = read_tree(git(folder, "ls-tree", "-r", "-z", "HEAD"))
    except GitError:
        raise Refused("there is no commit yet: commit the project first") from None
    if STATE not in tree:
        raise Refused(f"{STATE} is not in the last commit: add and commit it")
    if unclean := git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".").rstrip():
        raise Refused(f"the work tree is not clean; commit, stash or delete this first:\n{unclean}")
    return Project(folder, prefix, objects.resolve(), tree, state)


@dataclass(frozen=True)
class Render:
    """A version of the template, rendered."""

    folder: Path
    context: Answers  # all answers, as .cruft.json keeps them


class Template:
    """A copy of the template's repository."""

    def __init__(self, address: str, directory: str, folder: Path) -> None:
        """Clone `address` into `folder`; `directory` is where in it the template lies."""
        self.address = address
        self.directory = directory
        self.folder = folder
        self.clone = folder / "clone"
        try:
            git(folder, "clone", "--quiet", "--bare", "--template=", "--", address, str(self.clone))
        except GitError as error:
            raise Refused(f"the template {address} can't be reached:\n{error}") from None

    def commit(self, name: str) -> str | None:
        """Return the id of the commit that `name` stands for: a branch, a tag or an id; None when there is none."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        try:
            return git(self.clone, *arguments).strip()
        except GitError:
            return None

    def recorded(self, name: str) -> str:
        """Return the id of the commit that a project records, asking for it when no branch has it any more."""
        if found := self.commit(name):
            return found
        with suppress(GitError):
            git(self.clone, "fetch", "--quiet", "--", "origin", name)
        if found := self.commit(name):
            return found
        raise Refused(
            f"commit {name}, which {STATE} records, is gone from {self.address}: its history was rewritten. "
            f"Write into {STATE} the commit that took its place"
        )

    def wanted(self, name: str | None) -> str:
        """Return the id of the commit to update to: `name`, or the newest of the default branch."""
        if found := self.commit(name or "HEAD"):
            return found
        raise Refused(f"{self.address} has no branch, tag or commit {name!r}" if name else f"{self.address} is empty")

    def text(self, commit: str, path: str) -> str:
        """Return the text of a file of the template at `commit`."""
        return git(self.clone, "show", f"{commit}:{path}")

    def declared(self, commit: str) -> Answers:
        """Return cookiecutter.json as it is at `commit`."""
        path = "/".join(filter(None, (self.directory, "cookiecutter.json")))
        try:
            declared: Answers = json.loads(self.text(commit, path))
        except (GitError, ValueError) as error:
            raise Refused(f"{self.address} at {commit} has no {path} that can be read: {error}") from None
        return declared

    def render(self, commit: str, answers: Answers) -> Render:
        """Return the template at `commit`, rendered with `answers`; the name of a render is free to choose."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        source = folder / "source"
        git(self.clone, "worktree", "add", "--quiet", "--detach", str(source), commit)
        request = folder / "request.json"
        wanted = {
            "source": str(source / self.directory),
            "template": self.address,
            "commit": commit,
            "answers": answers,
        }
        request.write_text(json.dumps(wanted), encoding="utf-8")
        output = folder / "output"
        output.mkdir()
        command = [sys.executable, str(Path(__file__).with_name("render.py")), str(request), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise Refused(f"{self.address} at {commit} can't be rendered:\n{done.stderr.strip()}")
        context = json.loads((output / "context.json").read_text(encoding="utf-8"))
        return Render(next(path for path in output.iterdir() if path.is_dir()), context)

    def news(self, old: str, new: str) -> list[str]:
        """Return the lines that the CHANGELOG has at `new` and had not at `old`."""
        diff = git(self.clone, "diff", "--no-ext-diff", "--no-color", "--unified=0", old, new, "--", CHANGELOG)
        return [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]

    def history(self, old: str, new: str, path: str) -> list[str]:
        """Return what the commits between `old` and `new` say that touched the file that is rendered as `path`."""
        inside = git(self.clone, "ls-tree", "-d", "-z", "--name-only", f"{new}:{self.directory}").split("\0")
        project = next((name for name in inside if "{{" in name and "cookiecutter" in name), "")
        place = "/".join(filter(None, (self.directory, project, path)))
        command = ("--literal-pathspecs", "log", "--format=%h %s", f"{old}..{new}", "--", place)
        return git(self.clone, *command).splitlines()


def answers_for(declared: Answers, recorded: Answers, changes: Answers) -> Answers:
    """Return the answers for a version of the template that declares `declared`: those recorded, with `changes`.

    Refuses, all at once, a variable in `changes` that the template does not have, and choices that it does not offer.
    cookiecutter.json names what took the place of a choice that was retired: `"_retired": {variable: {old: new}}`.
    """
    asked = {name: value for name, value in declared.items() if not name.startswith("_")}
    wrong = []
    for name in changes.keys() - asked.keys():
        close = get_close_matches(name, asked, n=1)
        advice = f"did you mean {close[0]}?" if close else f"it has {', '.join(asked)}"
        wrong.append(f"the template has no variable {name}: {advice}")
    answers = {name: value for name, value in (recorded | changes).items() if name in asked}
    for name, value in answers.items():
        if JINJA.search(json.dumps(value)):
            wrong.append(f"{name} is {value!r}; allowed: no {{{{, {{% or {{#, which would be run as template code")
        if not isinstance(asked[name], list) or value in asked[name]:
            continue
        allowed = f"allowed: {', '.join(map(str, asked[name]))}"
        successor = declared.get("_retired", {}).get(name, {}).get(str(value))
        if successor:
            change = json.dumps({name: successor}, ensure_ascii=False)
            allowed = f"it was retired, and its successor is {successor!r}: make update VARS='{change}'"
        wrong.append(f"{name} is {value!r}, which the template does not offer; {allowed}")
    if wrong:
        raise Refused("\n".join(sorted(wrong)))
    return answers


def skip_list(folder: Path, where: str) -> set[str] | None:
    """Return what the pyproject.toml in `folder` leaves to the team, None if it doesn't say; `where` names it."""
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
    """Return the files and folders in `folders` that `patterns` name; with a * in it, one is a glob, as for cruft."""
    found = set()
    for pattern in patterns:
        for folder in folders:
            try:
                hits = list(folder.glob(pattern)) if "*" in pattern else [folder / pattern]
            except (ValueError, NotImplementedError) as error:
                raise Refused(f"[tool.cruft] skip has {pattern!r}, which is no path: {error}") from None
            found |= {Path(os.path.relpath(hit, folder)).as_posix() for hit in hits}
    return found


def within(path: str, places: set[str]) -> bool:
    """Tell whether `path` or a folder that it lies in is one of `places`."""
    return "." in places or not places.isdisjoint([path, *map(str, Path(path).parents)])


def team_paths(project: Project, old: Render, new: Render, trees: tuple[Tree, Tree]) -> set[str]:
    """Return the files that are the team's: they stay as they are.

    Which these are, the new version says, since a later one may bring something into a folder that was the team's as a
    whole. What the team has added to the list or taken from it counts, too. And what was the team's until today is not
    touched even if the new list leaves it out.
    """
    before = skip_list(old.folder, "the template's old version") or set()
    after = skip_list(new.folder, "the template's new version") or set()
    listed = skip_list(project.folder, "this project")
    own = (before if listed is None else listed) | set(project.state.get("skip") or [])
    folders = (project.folder, old.folder, new.folder)
    now = matching((after | (own - before)) - (before - own), folders)
    until_now = matching(own, folders)
    old_tree, new_tree = trees
    paths = project.tree.keys() | old_tree.keys() | new_tree.keys()
    brought = new_tree.keys() - old_tree.keys()
    return {path for path in paths if within(path, now) or (within(path, until_now) and path not in brought)}


@dataclass(frozen=True)
class Migration:
    """What a merge can't express, between two versions of the template. cookiecutter.json declares it, under a name:

    "_migrations": {"house": {"move": {"old place": "new place"}, "merge": ["files of the team's"]}}
    """

    move: dict[str, str]  # files or folders, whoever has written them
    merge: set[str]  # places that are the team's, and are merged this once

    @classmethod
    def between(cls, old: Render, new: Render) -> "Migration":
        """Return all that `new` asks for under names that `old` did not know yet."""
        known, declared = (render.context.get("_migrations", {}) for render in (old, new))
        # Cookiecutter leaves that as it is; rendered by it, a replay of older answers would fail.
        asked = json.loads(ANSWER.sub(lambda name: str(new.context[name[1]]), json.dumps(declared)))
        steps = [step for name, step in asked.items() if name not in known]
        moves = {source: target for step in steps for source, target in step.get("move", {}).items()}
        return cls(moves, {place for step in steps for place in step.get("merge", [])})

    def moved(self, tree: Tree) -> Tree:
        """Return `tree` with its files where they belong; what is there already stays."""
        found: Tree = {}
        for path, entry in tree.items():
            source = next((source for source in self.move if within(path, {source})), "")
            place = self.move[source] + path[len(source) :] if source else path
            found[path if place in tree else place] = entry
        return found


# A conflict between markers: what the team has, what both started from, what the template has.
HUNK = re.compile(
    r"^<<<<<<< yours\n(.*?)^\|{7} [^\n]*\n(.*?)^=======\n(.*?)^>>>>>>> template\n", re.MULTILINE | re.DOTALL
)
# Files that are lists, or hold some, with one item on a line: what names an item in its line.
LISTS = {
    PYPROJECT: re.compile(r'\s*"([A-Za-z0-9][\w.-]*)[^"]*",\s*'),  # a requirement, or a rule of a linter
    ".gitignore": re.compile(r"(.+)\n"),
    "docker/apt-build.txt": re.compile(r"(.+)\n"),
    "docker/apt-runtime.txt": re.compile(r"(.+)\n"),
}


def items(text: str, item: re.Pattern[str]) -> dict[str, str] | None:
    """Return name -> line of a list that has one item on a line; None for any other text."""
    found = {}
    for line in text.splitlines(keepends=True):
        name = item.fullmatch(line)
        if not name or name[1] in found:
            return None
        found[name[1]] = line
    return found


def merged_items(versions: Iterable[str], item: re.Pattern[str]) -> str | None:
    """Return a part of a list merged item by item, from the team's, the old and the new version; None if not clear.

    Git sees a conflict when one side changes a line and the other adds one next to it.
    """
    lists = [items(text, item) for text in versions]
    if None in lists:
        return None
    ours, old, theirs = (found or {} for found in lists)
    if old.keys() - ours.keys() - theirs.keys() and ours.keys() - old.keys() != theirs.keys() - old.keys():
        return None  # both have put something in the place of the same item, and not the same
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


def merged_lists(path: str, text: str) -> str | None:
    """Return the file `path` with every conflict in it merged item by item; None if one of them is in no such list."""
    hunks = HUNK.findall(text)
    parts = [merged_items(hunk, LISTS[path]) for hunk in hunks]
    if not hunks or None in parts:
        return None
    merged = HUNK.sub(lambda _: str(parts.pop(0)), text)
    if path == PYPROJECT:
        try:
            tomllib.loads(merged)
        except tomllib.TOMLDecodeError:
            return None
    return merged


@dataclass(frozen=True)
class Merge:
    """What came out of a merge."""

    tree: Tree
    stages: dict[str, Tree] = field(default_factory=dict)  # path in conflict -> its stages, as git numbers them
    reasons: dict[str, list[str]] = field(default_factory=dict)  # path -> what git says of its conflict


class Workshop:
    """A git directory beside the project's, with references of its own, that writes into the project's database."""

    def __init__(self, project: Project, folder: Path) -> None:
        """Make it in `folder`."""
        kind = git(project.folder, "rev-parse", "--show-object-format").strip()
        git(folder, "init", "--quiet", "--template=", f"--object-format={kind}", "workshop")
        self.project = project
        self.env = {
            "GIT_DIR": str(folder / "workshop" / ".git"),
            "GIT_OBJECT_DIRECTORY": str(project.objects),
            # Its .gitattributes tell how to merge which file.
            "GIT_WORK_TREE": str(project.folder),
            **IDENTITY,
        }

    def git(self, *arguments: str, stdin: str = "", **variables: str) -> str:
        """Return what `git` prints here."""
        return git(self.project.folder, *arguments, stdin=stdin, env=self.env | variables)

    def add(self, folder: Path) -> Tree:
        """Return a tree with all that is in `folder`."""
        self.git("read-tree", "--empty")
        git(folder, "add", "--all", "--force", ".", env=self.env | {"GIT_WORK_TREE": str(folder)})
        return self.files(self.git("write-tree").strip())

    def files(self, tree: str) -> Tree:
        """Return the files of a tree that is in the database."""
        return read_tree(self.git("ls-tree", "-r", "-z", "--full-tree", tree))

    def write(self, tree: Tree) -> str:
        """Write a tree to the database and return its id."""
        self.git("read-tree", "--empty")
        lines = "".join(f"{mode} {object_id}\t{path}\0" for path, (mode, object_id) in tree.items())
        self.git("update-index", "-z", "--index-info", stdin=lines)
        return self.git("write-tree").strip()

    def blob(self, text: str) -> str:
        """Write a file to the database and return its id."""
        return self.git("hash-object", "-w", "--stdin", stdin=text).strip()

    def merge(self, base: Tree, yours: Tree, template: Tree) -> Merge:
        """Merge two trees that come from `base`; conflicts are marked with the names of these arguments."""
        root = self.git("commit-tree", "-m", "old version", self.write(base)).strip()
        for name, tree in {"yours": yours, "template": template}.items():
            commit = self.git("commit-tree", "-p", root, "-m", name, self.write(tree)).strip()
            self.git("update-ref", f"refs/heads/{name}", commit)
        merged, *words = self.git("merge-tree", "--write-tree", "-z", "yours", "template").split("\0")
        stages: dict[str, Tree] = {}
        while words and (entry := words.pop(0)):
            described, path = entry.split("\t", 1)
            mode, object_id, stage = described.split()
            stages.setdefault(path, {})[stage] = (mode, object_id)
        reasons: dict[str, list[str]] = {}
        while words and (count := words.pop(0)):
            paths, (kind, message), words = words[: int(count)], words[int(count) :][:2], words[int(count) + 2 :]
            for path in paths if kind.startswith("CONFLICT") else []:
                reasons.setdefault(path, []).append(message.strip())
        return Merge(self.files(merged), stages, reasons)


@dataclass(frozen=True)
class Update:
    """An update that has been worked out and not been applied."""

    old: str
    new: str
    tree: Tree  # the project's files after it
    stages: dict[str, Tree]
    by_hand: list[str]  # files that are the template's, and were edited
    notes: list[str]
    news: list[str]


def settled(merge: Merge, workshop: Workshop) -> tuple[Merge, list[str]]:
    """Return `merge` without conflicts that nobody needs to look at, and the files that the team had deleted.

    What a team deletes stays deleted: otherwise each version that touches the file would ask the same again.
    """
    gone = sorted(path for path, stages in merge.stages.items() if stages.keys() == {"1", "3"})
    tree = without(merge.tree, set(gone))
    stages = {path: stages for path, stages in merge.stages.items() if path not in gone}
    for path in LISTS.keys() & stages.keys():
        mode, object_id = tree[path]
        text = merged_lists(path, workshop.git("cat-file", "blob", object_id))
        if text is not None:
            tree[path] = (mode, workshop.blob(text))
            del stages[path]
    return Merge(tree, stages, merge.reasons), gone


def work_out(
    project: Project,
    template: Template,
    workshop: Workshop,
    to: str | None,
    changes: Answers,
) -> Update:
    """Return the update of `project` to the version `to` with changed answers; with its own tree if nothing is new."""
    recorded = project.answers()
    before, after = template.recorded(project.state["commit"]), template.wanted(to)
    answers = answers_for(template.declared(after), recorded, changes)
    old = template.render(before, recorded)
    base = workshop.add(old.folder)
    by_hand = edited(project, old, base)
    if before == after and answers == recorded:
        return Update(before, after, project.tree, {}, by_hand, [], [])
    new = template.render(after, answers)
    theirs = workshop.add(new.folder)
    migration = Migration.between(old, new)
    base, project = migration.moved(base), replace(project, tree=migration.moved(project.tree))
    team = team_paths(project, old, new, (base, theirs))
    team = {path for path in team if not within(path, migration.merge)} | {STATE}
    merge, gone = settled(workshop.merge(*(without(tree, team) for tree in (base, project.tree, theirs))), workshop)
    state = project.state | {"commit": after, "checkout": to}
    state["context"] = state["context"] | {"cookiecutter": new.context}
    text = json.dumps(state, ensure_ascii=False, indent=2) + "\n"
    kept = {path: entry for path, entry in project.tree.items() if path in team}
    tree = merge.tree | kept | {STATE: ("100644", workshop.blob(text))}

    notes = [f"deleted by you  {path}: stays deleted, though the template has changed it" for path in gone]
    for path in sorted(team):
        if path in theirs and theirs[path] not in (base.get(path), project.tree.get(path)):
            notes.append(f"yours           {path}: left alone, though the template has changed its own")
    for path in sorted(merge.stages):
        notes += [f"CONFLICT        {path}: {reason}" for reason in merge.reasons.get(path, ["both have changed it"])]
        notes += [f"    yours       {line}" for line in project.history(path)]
        notes += [f"    template    {line}" for line in template.history(before, after, path)]
    return Update(before, after, tree, merge.stages, by_hand, notes, template.news(before, after))


def edited(project: Project, old: Render, base: Tree) -> list[str]:
    """Return the files that are the template's, since it copies them as they are, and that the team has edited."""
    places = matching(old.context.get("_copy_without_render", []), [old.folder])
    return sorted(path for path in base if within(path, places) and project.tree.get(path) != base[path])


def without(tree: Tree, paths: set[str]) -> Tree:
    """Return `tree` without the files `paths`."""
    return {path: entry for path, entry in tree.items() if path not in paths}


def versions(project: Project, update: Update) -> str:
    """Return a line with the two versions of the template."""
    return f"template {project.state['template']}: {update.old[:10]} -> {update.new[:10]}"


def file_by_file(project: Project, update: Update) -> list[str]:
    """Return a line for each file that `update` changes or leaves to people, and the reasons of a conflict."""
    lines = []
    for path in sorted(project.tree.keys() | update.tree.keys()):
        before, after = project.tree.get(path), update.tree.get(path)
        if before != after and path not in update.stages:
            what = "added" if before is None else "deleted" if after is None else "changed"
            lines.append(f"{what:<15} {path}")
    lines += [f"by hand         {path}: it is the template's, and yours differs from it" for path in update.by_hand]
    return lines + update.notes


def indented(lines: Iterable[str]) -> list[str]:
    """Return lines that Markdown shows as they are."""
    return [f"    {line}".rstrip() for line in lines]


def report(project: Project, update: Update) -> str:
    """Return what `update` does, for people at a terminal: file by file, then the template's own words about it."""
    lines = [versions(project, update), *file_by_file(project, update)]
    if update.news:
        lines += ["", f"New in the template's {CHANGELOG}:", *indented(update.news)]
    return "\n".join(lines)


def request(project: Project, update: Update) -> str:
    """Return the text of a change request with `update`, in Markdown: the title, and all that a reviewer needs."""
    lines = ["Update from the template", "", versions(project, update), ""]
    if update.stages:
        conflicts = [f"- `{path}`" for path in sorted(update.stages)]
        lines += ["Conflicts, to be resolved on this branch:", "", *conflicts, ""]
    if update.news:
        lines += [f"New in the template's {CHANGELOG}:", "", *update.news, ""]
    return "\n".join([*lines, "File by file:", "", *indented(file_by_file(project, update)), ""])


class Application:
    """Applies an update to a project."""

    def __init__(self, project: Project, workshop: Workshop, update: Update) -> None:
        """Make the whole tree of the repository that holds `project` as it is after `update`."""
        self.project, self.update = project, update
        whole = workshop.files(git(project.folder, "rev-parse", "HEAD^{tree}").strip())
        rest = {path: entry for path, entry in whole.items() if not path.startswith(project.prefix)}
        self.tree = workshop.write(rest | {project.prefix + path: entry for path, entry in update.tree.items()})

    def check(self) -> None:
        """Refuse when a file is in the way that git ignores: it would overwrite it without a word."""
        taken = set()
        for path in self.update.tree.keys() - self.project.tree.keys():
            place = self.project.folder / path
            folders = [folder for folder in place.parents if folder.is_relative_to(self.project.folder)]
            taken |= {folder for folder in folders if folder.is_symlink() or folder.is_file()}
            if place.is_symlink() or place.exists():
                taken.add(place)
        names = {path.relative_to(self.project.folder).as_posix() for path in taken}
        if in_the_way := sorted(names - self.project.tree.keys()):
            raise Refused(f"the new version brings files where git ignores some of yours: {', '.join(in_the_way)}")

    def to_work_tree(self) -> None:
        """Write the files and the index; files with a conflict are left unmerged."""
        git(self.project.folder, "read-tree", "-m", "-u", "HEAD", self.tree)
        lines = []
        for path, stages in self.update.stages.items():
            place = self.project.prefix + path
            lines.append(f"0 {'0' * len(self.tree)}\t{place}\0")
            lines += [f"{mode} {object_id} {stage}\t{place}\0" for stage, (mode, object_id) in sorted(stages.items())]
        git(self.project.folder, "update-index", "-z", "--index-info", stdin="".join(lines))

    def to_branch(self, name: str) -> None:
        """Commit the result on the last commit and make the branch `name` of it; work tree and index stay."""
        folder, message = self.project.folder, request(self.project, self.update)
        commit = git(folder, "commit-tree", "-p", "HEAD", self.tree, stdin=message).strip()
        git(folder, "update-ref", f"refs/heads/{name}", commit, "0" * len(commit))


def check_branch(project: Project, name: str) -> None:
    """Refuse a branch that can't be made, before there is any work."""
    try:
        git(project.folder, "check-ref-format", "--branch", name)
    except GitError:
        raise Refused(f"{name!r} is no name for a branch") from None
    if git(project.folder, "for-each-ref", f"refs/heads/{name}"):
        raise Refused(f"there is a branch {name} already: delete it, or name another")
    try:
        git(project.folder, "var", "GIT_COMMITTER_IDENT")
    except GitError as error:
        raise Refused(f"git does not know whose commit the branch would have: {error}") from None


def parse_changes(text: str) -> Answers:
    """Return the answers that the JSON object `text` gives; none when it is empty."""
    form = """write VARS='{"name": "value"}'"""
    try:
        changes = json.loads(text or "{}")
    except ValueError as error:
        raise Refused(f"the answers are not JSON ({error}); {form}") from None
    if not isinstance(changes, dict):
        raise Refused(f"the answers are not a JSON object; {form}")
    return changes


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    check: bool = False
    to: str | None = None
    vars: str = ""
    branch: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it: the exit status, and why; what there is to say; conflicts, and what was edited by hand."""

    status: int
    why: str
    text: str = ""
    conflicts: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


def work(project: Project, options: Options, folder: Path) -> Outcome:
    """Update `project`, with room for a clone and renders in `folder`."""
    changes = parse_changes(options.vars)
    if options.branch:
        check_branch(project, options.branch)
    template = Template(project.state["template"], project.state.get("directory") or "", folder)
    workshop = Workshop(project, folder)
    update = work_out(project, template, workshop, options.to, changes)
    by_hand, conflicts = tuple(update.by_hand), tuple(sorted(update.stages))
    if update.tree == project.tree:
        return Outcome(0, "nothing new", by_hand=by_hand)
    application = Application(project, workshop, update)
    if not options.branch:
        application.check()
    if options.check:
        done = "this is what an update would do"
    elif options.branch:
        application.to_branch(options.branch)
        done = f"in branch {options.branch}"
    else:
        application.to_work_tree()
        done = "look at it with `git diff HEAD`, then commit it; undo it with `git restore --source=HEAD -SW .`"
    result = f"conflicts in {', '.join(conflicts)}" if conflicts else "no conflicts"
    return Outcome(int(bool(conflicts)), f"{result}; {done}", report(project, update), conflicts, by_hand)


def bring_up_to_date(folder: Path, options: Options) -> Outcome:
    """Update the project in `folder`."""
    with tempfile.TemporaryDirectory() as room:
        try:
            check_tools()
            return work(open_project(folder), options, Path(room))
        except (Refused, GitError) as error:
            return Outcome(2, str(error))


def main() -> int:
    """Update the project in this folder; return the exit status."""
    parser = argparse.ArgumentParser(description="Bring this project up to date with its template.")
    parser.add_argument("--check", action="store_true", help="only say what would happen")
    parser.add_argument("--to", metavar="REF", help="branch, tag or commit of the template (its newest commit)")
    parser.add_argument("--vars", metavar="JSON", default="", help='answers to change: {"build_image": "full"}')
    parser.add_argument("--branch", metavar="NAME", help="commit the result on a new branch; the work tree stays")
    outcome = bring_up_to_date(Path.cwd(), Options(**vars(parser.parse_args())))
    if outcome.text:
        print(outcome.text, end="\n\n")
    if outcome.status == 2:
        print(f"update: exit status 2: nothing was touched: {outcome.why}", file=sys.stderr)
    else:
        print(f"update: exit status {outcome.status}: {outcome.why}")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
