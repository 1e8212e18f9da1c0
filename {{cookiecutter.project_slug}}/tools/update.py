"""Merge the template's new version into this project: `make update`.

    python tools/update.py [--check] [--to REF] [--vars JSON] [--branch NAME]

The template is rendered twice with the answers in .cruft.json: at the recorded commit and at the new one. Git then
merges the difference into the project, as it would merge a branch. This needs no history, so shallow clones, fresh
clones and squashed earlier updates work as well.

Run it in the folder of .cruft.json, with a Python that has cookiecutter (`make` uses .tools/cookiecutter). The last
line of output repeats the exit status:
    0  merged without conflicts, or nothing new
    1  merged with conflicts, which are listed, marked in their files and unmerged in `git status`
    2  not possible; nothing was changed
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
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from merge import PYPROJECT, GitError, Scratch, Tree, git, read_tree, without

# The first with `git merge-tree --write-tree`.
GIT_NEEDED = (2, 38)
STATE = ".cruft.json"
CHANGELOG = "CHANGELOG.md"
# Cookiecutter runs an answer that contains one of these as code.
JINJA = re.compile(r"\{[{%#]")
ANSWER = re.compile(r"\{\{ cookiecutter\.(\w+) \}\}")

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

    def history(self, path: str) -> list[str]:
        """Return the subjects of the last commits that changed `path`."""
        command = ("--literal-pathspecs", "log", "--max-count=3", "--format=%h %s", "--", path)
        return git(self.folder, *command).splitlines()


def check_tools() -> None:
    """Raise Refused without cookiecutter, without git, or with a git that can't merge trees."""
    if not find_spec("cookiecutter"):
        raise Refused(f"{sys.executable} has no cookiecutter: `make update` installs it and runs this")
    if not shutil.which("git"):
        raise Refused("git is not installed")
    version = git(Path.cwd(), "version")
    found = re.search(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < GIT_NEEDED:
        raise Refused(f"{version.strip()} is too old: 2.38 or newer is needed")


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
    try:
        tree = read_tree(git(folder, "ls-tree", "-r", "-z", "HEAD"))
    except GitError:
        raise Refused("there is no commit yet: commit the project first") from None
    if STATE not in tree:
        raise Refused(f"{STATE} is not in the last commit: add and commit it")
    if unclean := git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".").rstrip():
        raise Refused(f"the work tree is not clean; commit, stash or delete this first:\n{unclean}")
    return Project(folder, prefix, tree, state)


@dataclass(frozen=True)
class Render:
    """A version of the template, rendered."""

    folder: Path
    context: Answers  # all answers, in the form that .cruft.json keeps


class Template:
    """A bare clone of the template's repository."""

    def __init__(self, address: str, directory: str, folder: Path) -> None:
        """Clone `address` into `folder`; the template is in its folder `directory`."""
        self.address = address
        self.directory = directory
        self.folder = folder
        self.clone = folder / "clone"
        try:
            git(folder, "clone", "--quiet", "--bare", "--template=", "--", address, str(self.clone))
        except GitError as error:
            raise Refused(f"the template {address} can't be reached:\n{error}") from None

    def commit(self, name: str) -> str | None:
        """Return the id of the commit that `name` (a branch, a tag or an id) stands for; None if there is none."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        try:
            return git(self.clone, *arguments).strip()
        except GitError:
            return None

    def recorded(self, name: str) -> str:
        """Return the id of the commit that a project records; fetch it if it is on no branch any more."""
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
        """Return the id of the commit to update to: `name`, or the newest on the default branch."""
        if found := self.commit(name or "HEAD"):
            return found
        raise Refused(f"{self.address} has no branch, tag or commit {name!r}" if name else f"{self.address} is empty")

    def declared(self, commit: str) -> Answers:
        """Return the content of cookiecutter.json at `commit`."""
        path = "/".join(filter(None, (self.directory, "cookiecutter.json")))
        try:
            declared: Answers = json.loads(git(self.clone, "show", f"{commit}:{path}"))
        except (GitError, ValueError) as error:
            raise Refused(f"{self.address} at {commit} has no {path} that can be read: {error}") from None
        return declared

    def render(self, commit: str, answers: Answers) -> Render:
        """Return the template at `commit`, rendered with `answers` by render.py."""
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
        """Return the lines that were added to the CHANGELOG between `old` and `new`."""
        diff = git(self.clone, "diff", "--no-ext-diff", "--no-color", "--unified=0", old, new, "--", CHANGELOG)
        return [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]

    def history(self, old: str, new: str, path: str) -> list[str]:
        """Return the subjects of the commits between `old` and `new` that changed the source of the file `path`."""
        inside = git(self.clone, "ls-tree", "-d", "-z", "--name-only", f"{new}:{self.directory}").split("\0")
        project = next((name for name in inside if "{{" in name and "cookiecutter" in name), "")
        place = "/".join(filter(None, (self.directory, project, path)))
        command = ("--literal-pathspecs", "log", "--format=%h %s", f"{old}..{new}", "--", place)
        return git(self.clone, *command).splitlines()


def answers_for(declared: Answers, recorded: Answers, changes: Answers) -> Answers:
    """Return the recorded answers with `changes`, for a version whose cookiecutter.json is `declared`.

    Raises Refused, with all reasons at once, for a variable in `changes` that the template does not have and for an
    answer that it does not offer. cookiecutter.json names the successor of a choice that was retired:
    `"_retired": {variable: {old: new}}`.
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


def team_paths(project: Project, old: Render, new: Render, trees: tuple[Tree, Tree]) -> set[str]:
    """Return the files that belong to the team, which stay as they are.

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
    old_tree, new_tree = trees
    paths = project.tree.keys() | old_tree.keys() | new_tree.keys()
    brought = new_tree.keys() - old_tree.keys()
    return {path for path in paths if within(path, now) or (within(path, until_now) and path not in brought)}


@dataclass(frozen=True)
class Migration:
    """A change between two versions that a merge can't express. cookiecutter.json declares it under a name:

    "_migrations": {"house": {"move": {"old place": "new place"}, "merge": ["the team's files"]}}
    """

    move: dict[str, str]  # files or folders, whoever wrote them
    merge: set[str]  # the team's files and folders that are merged this once

    @classmethod
    def between(cls, old: Render, new: Render) -> "Migration":
        """Return the migrations of `new` whose names `old` does not have."""
        known, declared = (render.context.get("_migrations", {}) for render in (old, new))
        # Rendered here, since cookiecutter leaves variables with one underscore as they are.
        asked = json.loads(ANSWER.sub(lambda name: str(new.context[name[1]]), json.dumps(declared)))
        steps = [step for name, step in asked.items() if name not in known]
        moves = {source: target for step in steps for source, target in step.get("move", {}).items()}
        return cls(moves, {place for step in steps for place in step.get("merge", [])})

    def moved(self, tree: Tree) -> Tree:
        """Return `tree` with its files moved; a file that is already at the new place stays."""
        found: Tree = {}
        for path, entry in tree.items():
            source = next((source for source in self.move if within(path, {source})), "")
            place = self.move[source] + path[len(source) :] if source else path
            found[path if place in tree else place] = entry
        return found


@dataclass(frozen=True)
class Update:
    """An update that is planned and not yet applied."""

    old: str
    new: str
    tree: Tree  # the project's files after it
    stages: dict[str, Tree]
    by_hand: list[str]  # the template's files that the team has edited
    notes: list[str]
    news: list[str]


def work_out(
    project: Project,
    template: Template,
    scratch: Scratch,
    to: str | None,
    changes: Answers,
) -> Update:
    """Return the update of `project` to the version `to` with changed answers; with the same tree if nothing is new."""
    recorded = project.answers()
    before, after = template.recorded(project.state["commit"]), template.wanted(to)
    answers = answers_for(template.declared(after), recorded, changes)
    old = template.render(before, recorded)
    base = scratch.add(old.folder)
    by_hand = edited(project, old, base)
    if before == after and answers == recorded:
        return Update(before, after, project.tree, {}, by_hand, [], [])
    new = template.render(after, answers)
    theirs = scratch.add(new.folder)
    migration = Migration.between(old, new)
    base, project = migration.moved(base), replace(project, tree=migration.moved(project.tree))
    team = team_paths(project, old, new, (base, theirs))
    team = {path for path in team if not within(path, migration.merge)} | {STATE}
    merge, deleted = scratch.settle(scratch.merge(*(without(tree, team) for tree in (base, project.tree, theirs))))
    state = project.state | {"commit": after, "checkout": to}
    state["context"] = state["context"] | {"cookiecutter": new.context}
    text = json.dumps(state, ensure_ascii=False, indent=2) + "\n"
    kept = {path: entry for path, entry in project.tree.items() if path in team}
    tree = merge.tree | kept | {STATE: ("100644", scratch.blob(text))}

    notes = [f"deleted by you  {path}: stays deleted, though the template has changed it" for path in deleted]
    for path in sorted(team):
        if path in theirs and theirs[path] not in (base.get(path), project.tree.get(path)):
            notes.append(f"yours           {path}: left alone, though the template has changed its own")
    for path in sorted(merge.stages):
        notes += [f"CONFLICT        {path}: {reason}" for reason in merge.reasons.get(path, ["both have changed it"])]
        notes += [f"    yours       {line}" for line in project.history(path)]
        notes += [f"    template    {line}" for line in template.history(before, after, path)]
    return Update(before, after, tree, merge.stages, by_hand, notes, template.news(before, after))


def edited(project: Project, old: Render, base: Tree) -> list[str]:
    """Return the template's own files, which it copies without rendering, that the team has edited."""
    places = matching(old.context.get("_copy_without_render", []), [old.folder])
    return sorted(path for path in base if within(path, places) and project.tree.get(path) != base[path])


def versions(project: Project, update: Update) -> str:
    """Return a line with the two versions of the template."""
    return f"template {project.state['template']}: {update.old[:10]} -> {update.new[:10]}"


def file_by_file(project: Project, update: Update) -> list[str]:
    """Return a line for each file that `update` changes or leaves to a person, and the reasons for each conflict."""
    lines = []
    for path in sorted(project.tree.keys() | update.tree.keys()):
        before, after = project.tree.get(path), update.tree.get(path)
        if before != after and path not in update.stages:
            what = "added" if before is None else "deleted" if after is None else "changed"
            lines.append(f"{what:<15} {path}")
    lines += [f"by hand         {path}: it is the template's, and yours differs from it" for path in update.by_hand]
    return lines + update.notes


def indented(lines: Iterable[str]) -> list[str]:
    """Return `lines` as a code block in Markdown."""
    return [f"    {line}".rstrip() for line in lines]


def report(project: Project, update: Update) -> str:
    """Return what `update` does, for a terminal: file by file, then what is new in the template's CHANGELOG."""
    lines = [versions(project, update), *file_by_file(project, update)]
    if update.news:
        lines += ["", f"New in the template's {CHANGELOG}:", *indented(update.news)]
    return "\n".join(lines)


def request(project: Project, update: Update) -> str:
    """Return title and text, in Markdown, of a change request with `update`."""
    lines = ["Update from the template", "", versions(project, update), ""]
    if update.stages:
        conflicts = [f"- `{path}`" for path in sorted(update.stages)]
        lines += ["Conflicts, to be resolved on this branch:", "", *conflicts, ""]
    if update.news:
        lines += [f"New in the template's {CHANGELOG}:", "", *update.news, ""]
    return "\n".join([*lines, "File by file:", "", *indented(file_by_file(project, update)), ""])


def refuse_to_overwrite(project: Project, update: Update) -> None:
    """Raise Refused if the update would silently overwrite a file that git ignores."""
    taken = set()
    for path in update.tree.keys() - project.tree.keys():
        place = project.folder / path
        folders = [folder for folder in place.parents if folder.is_relative_to(project.folder)]
        taken |= {folder for folder in folders if folder.is_symlink() or folder.is_file()}
        if place.is_symlink() or place.exists():
            taken.add(place)
    names = {path.relative_to(project.folder).as_posix() for path in taken}
    if in_the_way := sorted(names - project.tree.keys()):
        raise Refused(f"the new version brings files where git ignores some of yours: {', '.join(in_the_way)}")


def write_repository(project: Project, scratch: Scratch, update: Update) -> str:
    """Write the tree that the whole repository of `project` has after `update`; return its id."""
    whole = scratch.files(git(project.folder, "rev-parse", "HEAD^{tree}").strip())
    rest = {path: entry for path, entry in whole.items() if not path.startswith(project.prefix)}
    return scratch.write(rest | {project.prefix + path: entry for path, entry in update.tree.items()})


def apply_to_work_tree(project: Project, update: Update, tree: str) -> None:
    """Write the files and the index of the tree with the id `tree`; files with conflicts are left unmerged."""
    git(project.folder, "read-tree", "-m", "-u", "HEAD", tree)
    lines = []
    for path, stages in update.stages.items():
        place = project.prefix + path
        lines.append(f"0 {'0' * len(tree)}\t{place}\0")
        lines += [f"{mode} {object_id} {stage}\t{place}\0" for stage, (mode, object_id) in sorted(stages.items())]
    git(project.folder, "update-index", "-z", "--index-info", stdin="".join(lines))


def commit_to_branch(project: Project, update: Update, tree: str, name: str) -> None:
    """Commit the tree with the id `tree` on a new branch `name`; work tree and index stay as they are."""
    commit = git(project.folder, "commit-tree", "-p", "HEAD", tree, stdin=request(project, update)).strip()
    git(project.folder, "update-ref", f"refs/heads/{name}", commit, "0" * len(commit))


def check_branch(project: Project, name: str) -> None:
    """Raise Refused if the branch `name` can't be made, before any work is done."""
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
    """Return the answers in the JSON object `text`; none if it is empty."""
    form = """write VARS='{"name": "value"}'"""
    try:
        changes = json.loads(text or "{}")
    except ValueError as error:
        raise Refused(f"the answers are not JSON ({error}); {form}") from None
    if not isinstance(changes, dict):
        raise Refused(f"the answers are not a JSON object; {form}")
    return changes


@dataclass(frozen=True)
class Outcome:
    """The result of an update."""

    status: int
    why: str  # the reason for the status
    text: str = ""  # the report
    conflicts: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


def bring_up_to_date(
    folder: Path, *, check: bool = False, to: str | None = None, changes: str = "", branch: str | None = None
) -> Outcome:
    """Update the project in `folder`: its work tree, or a new branch `branch`; with `check`, change nothing."""
    with tempfile.TemporaryDirectory() as room:
        try:
            check_tools()
            project, answers = open_project(folder), parse_changes(changes)
            if branch:
                check_branch(project, branch)
            template = Template(project.state["template"], project.state.get("directory") or "", Path(room))
            scratch = Scratch(folder, Path(room))
            update = work_out(project, template, scratch, to, answers)
            by_hand, conflicts = tuple(update.by_hand), tuple(sorted(update.stages))
            if update.tree == project.tree:
                return Outcome(0, "nothing new", by_hand=by_hand)
            tree = write_repository(project, scratch, update)
            if not branch:
                refuse_to_overwrite(project, update)
            if check:
                done = "this is what an update would do"
            elif branch:
                commit_to_branch(project, update, tree, branch)
                done = f"in branch {branch}"
            else:
                apply_to_work_tree(project, update, tree)
                done = "look at it with `git diff HEAD`, then commit it; undo it with `git restore --source=HEAD -SW .`"
        except (Refused, GitError) as error:
            return Outcome(2, str(error))
    result = f"conflicts in {', '.join(conflicts)}" if conflicts else "no conflicts"
    return Outcome(int(bool(conflicts)), f"{result}; {done}", report(project, update), conflicts, by_hand)


def main() -> int:
    """Update the project in this folder; return the exit status."""
    parser = argparse.ArgumentParser(description="Merge the template's new version into this project.")
    parser.add_argument("--check", action="store_true", help="only say what would happen")
    parser.add_argument("--to", metavar="REF", help="branch, tag or commit of the template (else the newest commit)")
    parser.add_argument(
        "--vars", metavar="JSON", default="", dest="changes", help='answers to change: {"build_image": "full"}'
    )
    parser.add_argument("--branch", metavar="NAME", help="commit the result on a new branch; leave the work tree alone")
    outcome = bring_up_to_date(Path.cwd(), **vars(parser.parse_args()))
    if outcome.text:
        print(outcome.text, end="\n\n")
    if outcome.status == 2:
        print(f"update: exit status 2: nothing was touched: {outcome.why}", file=sys.stderr)
    else:
        print(f"update: exit status {outcome.status}: {outcome.why}")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
