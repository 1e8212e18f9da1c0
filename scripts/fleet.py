"""Update many projects from the template: `make fleet REPOS=file`, which calls `fleet.py FILE [--push]`.

Each line of FILE names a repository, as `git clone` takes it, and after it the project's folder if that is not the
root; `#` begins a comment. Every repository is cloned and updated on the branch `template-update`. With --push, the
branch is pushed; its commit message is the text of a change request. A table then says for each repository

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

ROOT = Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True  # in the template, it would be rendered
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}/tools"))

import propose  # noqa: E402
from merge import GitError, git  # noqa: E402
from update import bring_up_to_date  # noqa: E402

STATES = ("current", "clean", "conflict", "blocked")


@dataclass(frozen=True)
class Row:
    """The result for one repository."""

    repository: str
    state: str  # one of STATES
    detail: str
    by_hand: tuple[str, ...] = ()


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


def one(repository: str, place: str, *, push: bool) -> Row:
    """Update the project in the folder `place` of `repository`; an error becomes a row as well."""
    name = repository if place == "." else f"{repository} {place}"
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        try:
            git(Path(folder), "clone", "--quiet", "--depth=1", "--no-tags", "--", repository, str(clone))
            outcome = bring_up_to_date(clone / place, branch=propose.BRANCH)
            if outcome.status == 2:
                return Row(name, "blocked", outcome.why.replace(str(clone), repository))
            if outcome.text and push:
                propose.publish(clone, propose.BRANCH)
        except (GitError, propose.TakenError, OSError) as error:
            return Row(name, "blocked", str(error))
    state = "conflict" if outcome.conflicts else "clean" if outcome.text else "current"
    return Row(name, state, ", ".join(outcome.conflicts), outcome.by_hand)


def table(rows: list[Row]) -> str:
    """Return the table: the rows that need a person last, then the number of rows in each state."""
    lines = []
    for row in sorted(rows, key=lambda row: STATES.index(row.state)):
        detail = row.detail.strip().replace("\n", "\n" + " " * 12)
        lines.append(f"{row.state:<10}  {row.repository}" + (f"\n{'':<12}{detail}" if detail else ""))
        if row.by_hand:
            lines.append(f"{'':<12}drifted, edited by hand: {', '.join(row.by_hand)}")
    counts = [f"{sum(row.state == state for row in rows)} {state}" for state in STATES]
    counts.append(f"{sum(bool(row.by_hand) for row in rows)} drifted")
    return "\n".join([*lines, "", f"{len(rows)} repositories: {', '.join(counts)}"])


def main() -> int:
    """Update all repositories, several at a time; return the exit status."""
    parser = argparse.ArgumentParser(description="Update many projects from the template.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a repository on each line, then its project's folder")
    parser.add_argument("--push", action="store_true", help=f"push the branch {propose.BRANCH} to each")
    options = parser.parse_args()
    os.environ.update(propose.ENVIRONMENT)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = [pool.submit(one, *line, push=options.push) for line in read(options.file)]
        rows = [each.result() for each in started]
    print(table(rows))
    return int(any(row.state == "blocked" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
