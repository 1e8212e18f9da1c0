"""What tests of updates do with a project's folder: make, copy, and look at all that an update could touch."""

import json
import shutil
from pathlib import Path

from tests.helpers.project import run
from tests.helpers.repository import commit

Files = dict[str, tuple[bytes, bool]]


def files(folder: Path) -> Files:
    """Return all files of a project, but for git's and .tools/: content, and whether it is executable."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith((".git/", ".tools/")) and name != ".cruft.json":
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def new_repository(folder: Path) -> None:
    """Make a git repository of a folder, with an identity of its own: a fixture may run before there is one."""
    run("git", "init", "--quiet", "--initial-branch=main", folder)
    run("git", "config", "user.name", "Tester", cwd=folder)
    run("git", "config", "user.email", "tester@example.com", cwd=folder)


def copy(source: Path, target: Path) -> Path:
    """Copy a folder with all that is in it, and return the copy."""
    shutil.copytree(source, target, symlinks=True)
    return target


def unmerged(project: Path) -> set[str]:
    """Return the files that git holds for unmerged."""
    lines = run("git", "ls-files", "--unmerged", "-z", cwd=project).stdout.split("\0")
    return {line.split("\t")[1] for line in lines if line}


def state_of(project: Path) -> dict[str, object]:
    """Return all that an update could touch: files, index, HEAD, references, work trees; not .tools/."""
    found: dict[str, object] = {
        path.relative_to(project).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in project.rglob("*")
        if path.is_file() and not {".git", ".tools"}.intersection(path.relative_to(project).parts)
    }
    for command in (
        "ls-files --stage",
        "rev-parse HEAD",
        "symbolic-ref HEAD",
        "for-each-ref",
        "worktree list",
        "stash",
    ):
        words = [*command.split(), "list"] if command == "stash" else command.split()
        found[command] = run("git", *words, cwd=project, check=False).stdout
    return found


def set_state(project: Path, **changes: object) -> None:
    """Change .cruft.json and commit it."""
    path = project / ".cruft.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    commit(project, "another state")
