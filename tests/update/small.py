"""A small template with the files that make updates hard, in four versions, as a git repository with a tag for each.

Renders come from cookiecutter itself and are kept, one for each version and set of answers.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from cookiecutter.main import cookiecutter

from tests.helpers.combinations import ROOT
from tests.helpers.project import run
from tests.helpers.repository import commit, edit
from tests.update.projects import new_repository

FOLDER = "{{cookiecutter.slug}}"
# What the template leaves to the team, as its pyproject.toml says.
TEAM = ("src/orders", "tests", "poetry.lock")

DECLARED = {
    "slug": "orders",
    "greeting": "hello",
    "flavour": ["plain", "rich", "spicy"],
    "_copy_without_render": ["src/runtime"],
}

README = """\
# {{ cookiecutter.slug }}

It says {{ cookiecutter.greeting }}.

## Start

Run `make`.

## Build

Run `make image`.

## Ask

Ask the team.
"""
PYPROJECT = """\
[project]
name = "{{ cookiecutter.slug }}"
dependencies = [
    "apple>=1",
    "banana>=1",
    "cherry>=1",
    "damson>=1",
    "elder>=1",
]

[tool.ruff]
line-length = 100

[tool.cruft]
skip = ["src/{{ cookiecutter.slug }}", "tests", "poetry.lock"]
"""
BUILD = """\
def first():
    return 1


def second():
    return 2


def third():
    return 3


def fourth():
    return 4
"""
NUMBERS = "".join(f"number {n}\n" for n in range(1, 21))
FIRST = {
    ".gitignore": "*.log\n*.tmp\n*.bak\n",
    "README.md": README,
    "pyproject.toml": PYPROJECT,
    "poetry.lock": "lock 1\n",
    "docker/settings.conf": NUMBERS,
    "docker/Größe und Maß.txt": NUMBERS,
    "docker/windows.bat": NUMBERS.replace("\n", "\r\n"),
    "docker/old.conf": NUMBERS.replace("number", "old"),
    "docker/renamed.conf": NUMBERS.replace("number", "renamed"),
    "docker/{% if cookiecutter.flavour == 'rich' %}rich.conf{% endif %}": "{{ cookiecutter.greeting }}\n",
    "scripts/build.py": BUILD,
    "scripts/run.sh": "#!/bin/sh\necho 1\n",
    "src/{{cookiecutter.slug}}/app.py": "VERSION = 1\n",
    "src/runtime/init.py": BUILD,
    "tests/test_app.py": "def test(): pass\n",
}
HOOK = """\
import sys

if "{{ cookiecutter.greeting }}" == "bad":
    sys.exit("greeting is 'bad'; allowed: a kind one")
"""
LOGO = bytes(range(256)) * 8


class SmallTemplate:
    """The template's repository."""

    def __init__(self, folder: Path) -> None:
        """Write all four versions, each with the updater of this template."""
        self.folder = folder / "template"
        self.project = self.folder / FOLDER
        self.renders = folder / "renders"
        new_repository(self.folder)
        shutil.copytree(ROOT / "updater", self.folder / "updater", ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / "requirements").mkdir()
        shutil.copy(ROOT / "requirements/new.txt", self.folder / "requirements")
        self.first()
        self.second()
        self.third()
        self.fourth()

    def first(self) -> None:
        """Version 1."""
        self.declare(DECLARED)
        for name, text in FIRST.items():
            self.write(name, text)
        (self.project / "scripts/run.sh").chmod(0o755)
        (self.project / "docker/logo.bin").write_bytes(LOGO)
        self.publish("v1", "The first version")

    def second(self) -> None:
        """Version 2: a line changes in most files."""
        self.declare({**DECLARED, "database": ["none", "postgres"]})
        self.edit("README.md", "Run `make`.", "Run `make up`.")
        self.edit("pyproject.toml", '"cherry>=1"', '"cherry>=2"')
        for name in ("docker/settings.conf", "docker/Größe und Maß.txt", "docker/windows.bat", "docker/renamed.conf"):
            self.edit(name, "number 3" if "renamed" not in name else "renamed 3", "the third, of version 2")
        self.edit("scripts/build.py", "return 1", "return 10")
        self.edit("src/runtime/init.py", "return 1", "return 10")
        self.edit("src/{{cookiecutter.slug}}/app.py", "1", "2")
        self.edit("poetry.lock", "1", "2")
        self.edit(".gitignore", "*.bak\n", "*.bak\n*.new\n")
        self.write("docker/new.conf", "new in version 2\n")
        (self.project / "docker/logo.bin").write_bytes(LOGO + b"\0second")
        self.publish("v2", "`make up`")

    def third(self) -> None:
        """Version 3: other lines change, a file goes, one moves, one comes, and so does an executable bit."""
        self.edit("README.md", "Run `make image`.", "Run `make image sbom`.")
        self.edit("pyproject.toml", "line-length = 100", "line-length = 120")
        for name in ("docker/settings.conf", "docker/Größe und Maß.txt", "docker/windows.bat"):
            self.edit(name, "number 9", "the ninth, of version 3")
        self.edit("scripts/build.py", "return 2", "return 20")
        (self.project / "scripts/build.py").chmod(0o755)
        self.edit("src/runtime/init.py", "return 2", "return 20")
        self.edit(".gitignore", "*.tmp\n", "*.temp\n")
        self.write("src/runtime/stop.py", "STOP = 3\n")
        (self.project / "docker/old.conf").unlink()
        (self.project / "docker/renamed.conf").rename(self.project / "scripts/renamed.conf")
        self.edit("scripts/renamed.conf", "renamed 9", "the ninth, of version 3")
        self.publish("v3", "`make image` writes an SBOM")

    def fourth(self) -> None:
        """Version 4: an answer is retired, for another."""
        declared = {**DECLARED, "flavour": ["plain", "rich"], "_retired": {"flavour": {"spicy": "rich"}}}
        self.declare(declared)
        self.edit("README.md", "Ask the team.", "Ask the platform team.")
        self.publish("v4", "No spicy flavour any more")
        self.refusing()

    def refusing(self) -> None:
        """A branch with a hook that refuses a greeting."""
        run("git", "switch", "--quiet", "--create", "refusing", cwd=self.folder)
        hook = self.folder / "hooks/pre_gen_project.py"
        hook.parent.mkdir()
        hook.write_text(HOOK)
        commit(self.folder, "a hook")
        run("git", "switch", "--quiet", "main", cwd=self.folder)

    def declare(self, declared: Mapping[str, object]) -> None:
        """Write cookiecutter.json."""
        (self.folder / "cookiecutter.json").write_text(json.dumps(declared, indent=2))

    def write(self, name: str, text: str) -> None:
        """Write a file of the rendered project's."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace what a file must hold."""
        edit(self.project / name, old, new)

    def publish(self, tag: str, news: str) -> None:
        """Commit, with a line in the CHANGELOG, and set the tag."""
        changelog = self.folder / "CHANGELOG.md"
        known = changelog.read_text() if changelog.exists() else ""
        changelog.write_text(f"## {tag}\n\n- {news}\n\n{known}")
        commit(self.folder, news)
        run("git", "tag", tag, cwd=self.folder)

    def commit_of(self, version: str) -> str:
        """Return the commit of a version."""
        return run("git", "rev-parse", f"{version}^{{commit}}", cwd=self.folder).stdout.strip()

    def render(self, version: str, **answers: str) -> Path:
        """Return a folder with `version` rendered by cookiecutter; it is shared, so leave it as it is."""
        place = self.renders / "-".join((version, *answers.values()))
        if not place.exists():
            config = self.renders.with_name("config.yml")
            config.write_text(f"cookiecutters_dir: {place}.cache\nreplay_dir: {place}.replay\n")
            source = f"git+file://{self.folder}"
            options = {"extra_context": answers, "no_input": True, "config_file": str(config)}
            cookiecutter(source, checkout=version, output_dir=str(place), **options)
        return next(place.iterdir())
