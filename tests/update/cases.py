"""What teams do to a project between two updates, and what happens to its history: one line each.

An edit is a function of a project's folder. It can be made to the project at version 1 and to a fresh render of a
later version, so that "a fresh render plus the team's edits" is something to compare with.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.project import run
from tests.helpers.repository import commit, edit
from tests.update.small import LOGO, TEAM

Edit = Callable[[Path], None]
History = Callable[[Path], None]


def nothing(project: Path) -> None:
    """A project that nobody has touched."""


def notes(project: Path) -> None:
    edit(project / "README.md", "## Start", "Our own introduction.\n\n## Start")


def notes_nearby(project: Path) -> None:
    """Two lines below the one that version 3 changes."""
    edit(project / "README.md", "## Ask", "Our own words.\n\n## Ask")


def code(project: Path) -> None:
    (project / "src/orders/app.py").write_text("OURS = True\n")
    (project / "src/orders/own.py").write_text("OWN = 1\n")
    (project / "tests/test_app.py").unlink()
    (project / "tests/test_own.py").write_text("def test_own(): pass\n")
    (project / "poetry.lock").write_text("our lock\n")


def dependency(project: Path) -> None:
    edit(project / "pyproject.toml", '    "elder>=1",\n', '    "elder>=1",\n    "fig>=1",\n')


def dependency_beside(project: Path) -> None:
    """The line below the one that version 2 changes."""
    path = project / "pyproject.toml"
    path.write_text(re.sub(r'(    "cherry>=.",\n)', r'\1    "cumin>=1",\n', path.read_text()))


def ignored_beside(project: Path) -> None:
    """Where version 2 adds a line, and above one that version 3 changes."""
    path = project / ".gitignore"
    text = re.sub(r"(\*.te?mp\n)", r"*.own\n\1", path.read_text())
    path.write_text(text.replace("*.bak\n", "*.bak\n*.last\n"))


def deleted(project: Path) -> None:
    (project / "docker/settings.conf").unlink()


def moved(project: Path) -> None:
    (project / "config").mkdir()
    (project / "docker/settings.conf").rename(project / "config/settings.conf")


def moved_folder(project: Path) -> None:
    (project / "build").mkdir()
    for name in ("build.py", "run.sh"):
        (project / "scripts" / name).rename(project / "build" / name)


def reformatted_elsewhere(project: Path) -> None:
    """Other lines than the template will change."""
    edit(project / "scripts/build.py", "    return 3", "  return (3)")
    edit(project / "scripts/build.py", "    return 4", "  return (4)")


def reformatted_all_over(project: Path) -> None:
    path = project / "scripts/build.py"
    path.write_text(path.read_text().replace("    ", "\t"))


def executable(project: Path) -> None:
    (project / "docker/settings.conf").chmod(0o755)


def no_longer_executable(project: Path) -> None:
    (project / "scripts/run.sh").chmod(0o644)


def crlf(project: Path) -> None:
    edit(project / "docker/windows.bat", "number 19\r\n", "our nineteenth\r\n")


def umlauts(project: Path) -> None:
    edit(project / "docker/Größe und Maß.txt", "number 19\n", "our nineteenth\n")
    (project / "docker/Übersicht für uns.txt").write_text("ours\n")


def own_binary(project: Path) -> None:
    (project / "docker/own.bin").write_bytes(LOGO[::-1])


def template_moves_it(project: Path) -> None:
    place = next(path for path in (project / "docker/renamed.conf", project / "scripts/renamed.conf") if path.exists())
    edit(place, "renamed 19", "our nineteenth")


def same_new_file(project: Path) -> None:
    (project / "docker/new.conf").write_text("new in version 2\n")


def kept_file(project: Path) -> None:
    """The team has made a file of the template's its own."""
    edit(project / "pyproject.toml", '"poetry.lock"]', '"poetry.lock", "docker/set*.conf"]')


def year(project: Path) -> None:
    """All of it that does not hinder the rest."""
    for one in (notes, code, dependency, reformatted_elsewhere, crlf, umlauts, own_binary, template_moves_it, moved):
        one(project)


def other_line(project: Path) -> None:
    path = project / "README.md"
    path.write_text(path.read_text().replace("Run `make`.", "Run our script.").replace("`make up`", "our script"))


def other_dependency(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(re.sub(r"cherry>=.", "cherry>=7", path.read_text()))


def other_ignored(project: Path) -> None:
    path = project / ".gitignore"
    path.write_text(re.sub(r"\*.te?mp\n", "*.ours\n", path.read_text()))


def other_new_file(project: Path) -> None:
    (project / "docker/new.conf").write_text("ours, and another\n")


def edits_what_goes(project: Path) -> None:
    (project / "docker/old.conf").write_text("ours, and no longer old\n")


def other_binary(project: Path) -> None:
    (project / "docker/logo.bin").write_bytes(LOGO[::-1])


def plain(project: Path) -> None:
    """Update 1 lies on the main branch."""


def squashed(project: Path) -> None:
    """It came by a branch that was squashed, and git has collected what is left."""
    main, update = ("main^", "main")
    run("git", "branch", "update", update, cwd=project)
    run("git", "reset", "--quiet", "--hard", main, cwd=project)
    run("git", "merge", "--quiet", "--squash", "update", cwd=project)
    commit(project, "squashed")
    run("git", "branch", "--quiet", "-D", "update", cwd=project)
    run("git", "reflog", "expire", "--expire=all", "--all", cwd=project)
    run("git", "gc", "--quiet", "--prune=now", cwd=project)


def cloned(project: Path, *options: str) -> None:
    """Somebody else has cloned it."""
    origin = project.with_name("origin")
    project.rename(origin)
    run("git", "clone", "--quiet", *options, f"file://{origin}", project)


def shallow(project: Path) -> None:
    """A CI job has cloned the last commit."""
    cloned(project, "--depth=1")


@dataclass(frozen=True)
class Case:
    """One line of the table: an update to version 2, something in its history, an update to `to`."""

    edit: Edit
    history: History = plain
    conflicts: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # path -> what both sides say
    answers: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    to: str = "v3"
    team: tuple[str, ...] = TEAM
    cruft: bool = True  # whether plain `cruft update` gets it right

    def __str__(self) -> str:
        """The test's id."""
        changes = [f"{name}={value}" for name, value in self.changes.items()]
        return "-".join([self.edit.__name__, self.history.__name__, self.to, *changes])


CLEAN = [
    Case(nothing),
    Case(nothing, to="v4"),
    Case(notes),
    Case(notes_nearby),
    Case(notes_nearby, squashed, cruft=False),
    Case(notes_nearby, cloned, cruft=False),
    Case(notes_nearby, shallow, cruft=False),
    Case(code),
    Case(code, squashed),
    Case(dependency),
    Case(dependency, shallow),
    Case(dependency_beside, cruft=False),
    Case(ignored_beside, cruft=False),
    Case(deleted),
    Case(moved, cruft=False),
    Case(moved, squashed, cruft=False),
    Case(moved_folder, cruft=False),
    Case(reformatted_elsewhere),
    Case(executable),
    Case(no_longer_executable),
    Case(crlf),
    Case(umlauts),
    Case(own_binary),
    Case(template_moves_it),
    Case(same_new_file),
    Case(kept_file, team=(*TEAM, "docker/settings.conf")),
    Case(notes, changes={"flavour": "rich"}),
    Case(notes, answers={"flavour": "spicy"}, changes={"flavour": "rich"}, to="v4"),
    Case(notes, squashed, changes={"greeting": "good day"}, cruft=False),
    Case(year, cruft=False),
    Case(year, squashed, cruft=False),
    Case(year, cloned, cruft=False),
    Case(year, shallow, to="v4", cruft=False),
]

CONFLICTS = [
    Case(other_line, conflicts={"README.md": ("our script", "make up")}),
    Case(other_new_file, conflicts={"docker/new.conf": ("ours, and another", "new in version 2")}),
    Case(edits_what_goes, conflicts={"docker/old.conf": ("no longer old", "")}, cruft=False),
    Case(reformatted_all_over, conflicts={"scripts/build.py": ("\treturn 2", "    return 20")}),
    Case(other_dependency, conflicts={"pyproject.toml": ("cherry>=7", "cherry>=2")}),
    Case(other_ignored, conflicts={".gitignore": ("*.ours", "*.temp")}),
    Case(other_binary, conflicts={"docker/logo.bin": ("", "")}),
]
