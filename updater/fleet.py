"""Update many projects from the template: `make fleet REPOS=file`, which runs `python -m updater.fleet FILE [--push]`.

Each line of FILE names a repository, as `git clone` takes it, and after it the project's folder if that is not the
root; `#` begins a comment. Every repository is cloned and updated, to the newest release of the template that it
records (or its newest commit, if it has no release), on the branch `template-update`. With --push, the branch is
pushed; its commit message is the text of a change request. A table then says for each repository

    current     nothing new
    clean       merged without conflicts
    conflict    merged with conflicts, which are marked in the branch and listed in its message
    blocked     not possible, with the reason; nothing was pushed

and which of the template's files the team has edited. It can be run again at any time: a branch that is up to date
stays, an older one is replaced, and one that a person has committed to is left alone.

Exit status 0; 1 if a repository is blocked, which does not stop the others; 2 if FILE can't be used.
"""

import argparse
import os
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from updater.git import GitError, git
from updater.update import EMAIL, bring_up_to_date

BRANCH = "template-update"
STATES = ("current", "clean", "conflict", "blocked")


@dataclass(frozen=True)
class Row:
    """The result for one repository."""

    repository: str
    state: str  # one of STATES
    detail: str
    edited: tuple[str, ...] = ()


def read(path: Path) -> list[tuple[str, str]]:
    """Return the repositories in a file, each with its project's folder; end with status 2 if it can't be read."""
    found = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            words = shlex.split(line, comments=True)
            if len(words) > 2:
                raise ValueError(f"line {number}: a repository, and after it at most a folder")
            if words:
                found.append((words[0], words[1] if len(words) > 1 else "."))
    except (OSError, ValueError) as error:
        print(f"fleet: {path} can't be used: {error}", file=sys.stderr)
        sys.exit(2)
    return found


class TakenError(Exception):
    """A person has committed to the branch."""


def publish(clone: Path) -> None:
    """Push the branch, unless it is there already. Raises TakenError if a person has committed to it."""
    tip = git(clone, "ls-remote", "origin", f"refs/heads/{BRANCH}").partition("\t")[0]
    if tip:
        git(clone, "fetch", "--quiet", "--depth=1", "origin", f"refs/heads/{BRANCH}")
        if git(clone, "show", "--no-patch", "--format=%ce", tip).strip() != EMAIL:
            raise TakenError(f"the branch {BRANCH} has commits of people: merge or delete it first")
    lease = f"--force-with-lease=refs/heads/{BRANCH}:{tip}"
    git(clone, "push", "--quiet", lease, "origin", f"{BRANCH}:refs/heads/{BRANCH}")


def one(repository: str, place: str, *, push: bool) -> Row:
    """Update the project in the folder `place` of `repository`; an error becomes a row as well."""
    name = repository if place == "." else f"{repository} {place}"
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        try:
            git(Path(folder), "clone", "--quiet", "--depth=1", "--no-tags", "--", repository, str(clone))
            outcome = bring_up_to_date(clone / place, None, branch=BRANCH)
            if outcome.status == 2:
                return Row(name, "blocked", outcome.why.replace(str(clone), repository))
            if outcome.text and push:
                publish(clone)
        except (GitError, TakenError, OSError) as error:
            return Row(name, "blocked", str(error))
    state = "conflict" if outcome.conflicts else "clean" if outcome.text else "current"
    return Row(name, state, ", ".join(outcome.conflicts), outcome.edited)


def table(rows: list[Row]) -> str:
    """Return the table: the rows that need a person last, then the number of rows in each state."""
    lines = []
    for row in sorted(rows, key=lambda row: STATES.index(row.state)):
        detail = row.detail.strip().replace("\n", "\n" + " " * 12)
        lines.append(f"{row.state:<10}  {row.repository}" + (f"\n{'':<12}{detail}" if detail else ""))
        if row.edited:
            lines.append(f"{'':<12}drifted, edited by hand: {', '.join(row.edited)}")
    counts = [f"{sum(row.state == state for row in rows)} {state}" for state in STATES]
    counts.append(f"{sum(bool(row.edited) for row in rows)} drifted")
    return "\n".join([*lines, "", f"{len(rows)} repositories: {', '.join(counts)}"])


def main() -> int:
    """Update all repositories, several at a time; return the exit status."""
    parser = argparse.ArgumentParser(description="Update many projects from the template.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a repository on each line, then its project's folder")
    parser.add_argument("--push", action="store_true", help=f"push the branch {BRANCH} to each")
    options = parser.parse_args()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = [pool.submit(one, *line, push=options.push) for line in read(options.file)]
        rows = [each.result() for each in started]
    print(table(rows))
    return int(any(row.state == "blocked" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
