"""Git repositories of tests: this template's own, and a project's."""

import json
import shutil
from pathlib import Path

from tests.helpers.combinations import ROOT, Answers
from tests.helpers.project import run

# For fixtures that run before a test has an identity of its own.
IDENTITY = {
    "GIT_AUTHOR_NAME": "Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.com",
    "GIT_COMMITTER_NAME": "Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.com",
}


def copy_template(folder: Path) -> None:
    """Copy this template into `folder`, as it is in the work tree."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in listed:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def template_repository(folder: Path) -> Path:
    """Return a git repository, made in `folder`, that holds this template as it is in the work tree."""
    copy_template(folder)
    run("git", "init", "--quiet", folder)
    commit(folder, "first")
    return folder


def commit(repository: Path, message: str) -> None:
    """Commit everything."""
    run("git", "add", "--all", cwd=repository)
    run("git", "commit", "--quiet", "--message", message, cwd=repository, env=IDENTITY)


def create(template: Path, folder: Path, answers: Answers) -> Path:
    """Return a project made by `cruft create` and committed as its team would."""
    options = ("--no-input", "--extra-context", json.dumps(answers), "--output-dir", folder)
    run("cruft", "create", str(template), *options)
    project = next(folder.iterdir())
    run("git", "init", "--quiet", project)
    commit(project, "from the template")
    return project


def append(path: Path, text: str) -> None:
    """Add `text` at the end of a file."""
    path.write_text(path.read_text() + text)


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old` by `new` in a file that must hold it; line endings stay as they are."""
    content = path.read_bytes()
    assert old.encode() in content, f"{path} does not hold {old!r}"
    path.write_bytes(content.replace(old.encode(), new.encode()))


def changed(project: Path) -> set[str]:
    """Return the files that an update has changed, and check that it left nothing to repair."""
    assert not list(project.rglob("*.rej"))
    assert run("git", "ls-files", "--unmerged", cwd=project).stdout == ""
    run("git", "diff", "--check", "HEAD", "--", ".", ":!.cruft.json", cwd=project)
    return {line[3:] for line in run("git", "status", "--porcelain", cwd=project).stdout.splitlines()}
