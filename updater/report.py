"""What an update does, in words: on the terminal, and as the text of a change request."""

from collections.abc import Iterable
from dataclasses import dataclass

from updater.git import Tree
from updater.project import Project
from updater.template import CHANGELOG

# Why a person has to decide, by the versions of the file that there are: 1 the old one, 2 the team's, 3 the template's.
REASONS = {
    "12": "you have changed it, the template has deleted it",
    "23": "both have added it",
    "123": "both have changed it",
}
LONGEST = 50_000  # bytes of a request's text; a push option of git may have 65516


@dataclass(frozen=True)
class Update:
    """An update that is planned and not yet applied."""

    old: str
    new: str
    tree: Tree  # the project's files after it
    stages: dict[str, Tree]  # the versions of each file with a conflict, as git numbers them
    edited: dict[str, str]  # the template's files that the team has edited, with the commit that did
    notes: list[str]
    news: list[str]


def overwritten(path: str, commit: str, update: Update, project: Project) -> str:
    """Return a line for one of the template's files that the team has edited: what becomes of it, and how to see it."""
    if path not in project.tree:
        return f"restored        {path}: it is the template's, and you deleted it in {commit}"
    what = "overwritten" if path in update.tree else "deleted"
    if project.tree[path] == update.tree.get(path):
        return f"edited          {path}: it is the template's, and now the template has the same (yours: {commit})"
    return f"{what:<15} {path}: its folder is the template's. Yours is in {commit}"


def file_by_file(project: Project, update: Update) -> list[str]:
    """Return a line for each file that `update` changes or leaves to a person, and the reasons for each conflict."""
    lines = []
    for path in sorted(project.tree.keys() | update.tree.keys()):
        before, after = project.tree.get(path), update.tree.get(path)
        if before != after and path not in update.stages.keys() | update.edited.keys():
            what = "added" if before is None else "deleted" if after is None else "changed"
            lines.append(f"{what:<15} {path}")
    lines += [overwritten(path, commit, update, project) for path, commit in sorted(update.edited.items())]
    return lines + update.notes


def conflict(path: str, stages: Tree, yours: list[str], template: list[str]) -> list[str]:
    """Return the lines for a conflict: its kind, and the last commits of both sides."""
    lines = [f"CONFLICT        {path}: {REASONS.get(''.join(sorted(stages)), 'both have moved it')}"]
    lines += [f"    yours       {line}" for line in yours]
    return lines + [f"    template    {line}" for line in template]


def indented(lines: Iterable[str]) -> list[str]:
    """Return `lines` as a code block in Markdown."""
    return [f"    {line}".rstrip() for line in lines]


def versions(project: Project, update: Update) -> str:
    """Return a line with the two versions of the template."""
    return f"template {project.state['template']}: {update.old[:10]} -> {update.new[:10]}"


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
    if update.tree.get("pyproject.toml") != project.tree.get("pyproject.toml"):
        lines += ["If the checks say that poetry.lock does not fit: `make lock` on this branch, and commit.", ""]
    if update.news:
        lines += [f"New in the template's {CHANGELOG}:", "", *update.news, ""]
    text = "\n".join([*lines, "File by file:", "", *indented(file_by_file(project, update)), ""])
    return text.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore")
