"""Merge the template's new version into this project: `make update`.

    python CLONE/updater [--check] [--to REF] [--vars JSON] [--branch NAME]

The version to update to is what is checked out in CLONE, the clone of the template that this lies in; --to is the name
that .cruft.json records for it. Without it, a project that already has all of that version keeps its own. The template
is rendered twice with the answers in .cruft.json: at the recorded commit and at the new one. Git then merges the
difference into the project, as it would merge a branch, but for the folders that are the template's: they become those
of the new version. This needs no history of the project's, so shallow clones, fresh clones and squashed earlier updates
work as well.

Run it in the folder of .cruft.json. The last line of output repeats the exit status:
    0  merged without conflicts, or nothing new
    1  merged with conflicts, which are listed, marked in their files and unmerged in `git status`
    2  not possible; nothing was changed
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from updater.git import GitError, git, without
from updater.merge import Scratch
from updater.owners import owners
from updater.project import STATE, Answers, Project, Refused, open_project
from updater.report import Update, conflict, report, request
from updater.template import Template, answers_for, clone, newest

# The first with `git merge-tree --write-tree`.
GIT_NEEDED = (2, 38)
# Of the commit on a branch: an update is the same commit whoever makes it, so a branch that is up to date stays.
EMAIL = "template-update@localhost"


def check_git() -> None:
    """Raise Refused without git, or with one that can't merge trees."""
    if not shutil.which("git"):
        raise Refused("git is not installed")
    version = git(Path.cwd(), "version")
    found = re.search(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < GIT_NEEDED:
        raise Refused(f"{version.strip()} is too old: 2.38 or newer is needed")


def work_out(project: Project, template: Template, scratch: Scratch, to: str | None, changes: Answers) -> Update:
    """Return the update of `project` to the template's version with changed answers.

    Its tree is the project's own if there is nothing to do.
    """
    recorded = project.answers()
    before, after = template.recorded(project.state["commit"]), template.version
    if not to and template.is_ahead(before):
        after = before
    answers = answers_for(template.declared(after), recorded, changes)
    same = before == after and answers == recorded
    old = template.render(before, recorded)
    new = old if same else template.render(after, answers)
    base, theirs = scratch.add(old.folder), scratch.add(new.folder)
    team, own = owners(project, old, new, base, theirs)
    team, own = team | {STATE}, own - {STATE}
    shared = (without(tree, team | own) for tree in (base, project.tree, theirs))
    merge, deleted = scratch.settle(scratch.merge(*shared))
    tree = merge.tree | {path: entry for path, entry in project.tree.items() if path in team}
    tree |= {path: entry for path, entry in theirs.items() if path in own}
    if not same:
        state = project.state | {"commit": after, "checkout": to}
        state["context"] = state["context"] | {"cookiecutter": new.context}
        tree[STATE] = ("100644", scratch.blob(json.dumps(state, ensure_ascii=False, indent=2) + "\n"))

    edited = {path for path in own if project.tree.get(path) != base.get(path)}
    commits = {path: "".join(project.history(path, 1)) for path in edited}
    notes = [f"deleted by you  {path}: stays deleted, though the template has changed it" for path in deleted]
    for path in sorted(team):
        if path in theirs and theirs[path] not in (base.get(path), project.tree.get(path)):
            notes.append(f"yours           {path}: left alone, though the template has changed its own")
    for path, stages in sorted(merge.stages.items()):
        notes += conflict(path, stages, project.history(path, 3), template.history(before, after, path))
    return Update(before, after, tree, merge.stages, commits, notes, template.news(before, after))


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
    date = git(project.folder, "show", "--no-patch", "--format=%cI", "HEAD").strip()
    identity = {"NAME": "Template update", "EMAIL": EMAIL, "DATE": date}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()}
    text = request(project, update)
    commit = git(project.folder, "commit-tree", "-p", "HEAD", tree, stdin=text, env=env).strip()
    git(project.folder, "update-ref", f"refs/heads/{name}", commit, "0" * len(commit))


def check_branch(project: Project, name: str) -> None:
    """Raise Refused if the branch `name` can't be made, before any work is done."""
    try:
        git(project.folder, "check-ref-format", "--branch", name)
    except GitError:
        raise Refused(f"{name!r} is no name for a branch") from None
    if git(project.folder, "for-each-ref", f"refs/heads/{name}"):
        raise Refused(f"there is a branch {name} already: delete it, or name another")


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
    edited: tuple[str, ...] = ()  # the template's files that the team has edited


def bring_up_to_date(
    folder: Path,
    repository: Path | None,
    *,
    check: bool = False,
    to: str | None = None,
    changes: str = "",
    branch: str | None = None,
) -> Outcome:
    """Update the project in `folder`: its work tree, or a new branch `branch`; with `check`, change nothing.

    `repository` is a folder in a clone of the template with the version to update to; None: the newest release, from a
    new clone.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch_folder = Path(name)
        try:
            check_git()
            project, answers = open_project(folder), parse_changes(changes)
            if branch:
                check_branch(project, branch)
            address, directory = project.state["template"], project.state.get("directory") or ""
            version = "HEAD"
            if repository:
                repository = Path(git(repository, "rev-parse", "--show-toplevel").rstrip("\n"))
            else:
                repository = clone(address, scratch_folder)
                version = newest(repository)
            template = Template(address, directory, repository, version, scratch_folder)
            scratch = Scratch(folder, scratch_folder)
            update = work_out(project, template, scratch, to, answers)
            edited, conflicts = tuple(sorted(update.edited)), tuple(sorted(update.stages))
            if update.tree == project.tree:
                return Outcome(0, "nothing new", edited=edited)
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
    return Outcome(int(bool(conflicts)), f"{result}; {done}", report(project, update), conflicts, edited)


def main() -> int:
    """Update the project in this folder; return the exit status."""
    parser = argparse.ArgumentParser(description="Merge the template's new version into this project.")
    parser.add_argument("--check", action="store_true", help="only say what would happen")
    parser.add_argument("--to", metavar="REF", help="the name of the version in the clone, for .cruft.json")
    parser.add_argument(
        "--vars", metavar="JSON", default="", dest="changes", help='answers to change: {"build_image": "full"}'
    )
    parser.add_argument("--branch", metavar="NAME", help="commit the result on a new branch; leave the work tree alone")
    options = parser.parse_args()
    outcome = bring_up_to_date(
        Path.cwd(),
        Path(__file__).resolve().parent,
        check=options.check,
        to=options.to or None,  # make hands on what is not set as ""
        changes=options.changes,
        branch=options.branch or None,
    )
    if outcome.text:
        print(outcome.text, end="\n\n")
    if outcome.status == 2:
        print(f"update: exit status 2: nothing was touched: {outcome.why}", file=sys.stderr)
    else:
        print(f"update: exit status {outcome.status}: {outcome.why}")
    return outcome.status
