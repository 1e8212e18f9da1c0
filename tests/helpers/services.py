"""Services as teams write them: a new project, the team's files laid over it, its checks, an update of the template.

tests/services/<name>/ has the files of a team, and nothing else: each at the place where it lies in the project.
"""

import shutil
from pathlib import Path

from tests.helpers import update as updates
from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.engine import Engine
from tests.helpers.machine import project_environment
from tests.helpers.project import Project, add_dependency, known, relock, run
from tests.helpers.repository import commit, create, edit, template_repository

SERVICES = ROOT / "tests/services"
PROJECT = "{{cookiecutter.project_slug}}"
# The branch of the template with a version to come, which fixes something in every kind of place.
LATER = "later"
FIXES = {
    "src/service_runtime/stop.py": ("import signal\n", "import signal  # fixed\n"),
    "tools/image/layer.py": ("import os\n", "import os  # fixed\n"),
    "Dockerfile": ("\nUSER 10001:10001\n", "\nSTOPSIGNAL SIGTERM\nUSER 10001:10001\n"),
    "pyproject.toml": ('requires-poetry = ">=2.3.4,<3"', 'requires-poetry = ">=2.3,<3"'),
}


def template_with_a_later_version(folder: Path) -> Path:
    """Return this template as a git repository; its branch LATER is a version to come."""
    template_repository(folder)
    run("git", "switch", "--quiet", "--create", LATER, cwd=folder)
    for name, (old, new) in FIXES.items():
        edit(folder / PROJECT / name, old, new)
    commit(folder, "fixed")
    run("git", "switch", "--quiet", "-", cwd=folder)
    return folder


def scaffold(template: Path, folder: Path, name: str, answers: dict[str, str]) -> Project:
    """Return a new project of the service `name`, created in `folder` with its team's files laid over it."""
    defaults = {question: offered[0] for question, offered in CHOICES.items()}
    answers = known({**defaults, "project_slug": name, "package_name": name, **answers})
    project = Project(create(template, folder, answers), answers)
    shutil.copytree(SERVICES / name, project.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return project


def finish(project: Project, *dependencies: str) -> None:
    """Add dependencies, lock again, and commit: what a team does last."""
    for requirement in dependencies:
        add_dependency(project, requirement)
    relock(project)
    commit(project.path, "the service")


def let_through(project: Project, *names: str) -> None:
    """Let files and folders beside src/ into the image, as README.md says."""
    lines = "".join(f"!{name}\n" for name in names)
    project.replace(".dockerignore", "**/__pycache__\n", f"{lines}**/__pycache__\n")


def check(project: Project) -> None:
    """Run the project's own checks: style, types, tests. It must have a Python that this machine has, too."""
    project.make("check", env=project_environment(project.answers["python_version"]))


def address(engine: Engine, container: str) -> str:
    """Return the address of a container in the network of the containers."""
    (network,) = engine.inspect(container, ".NetworkSettings.Networks").values()
    return str(network["IPAddress"])


def update(project: Project) -> None:
    """Bring the project to the template's later version: the fixes arrive, and what the team wrote stays as it is."""
    before = {str(path): (project.path / path).read_bytes() for path in written_by_the_team(project)}
    done = updates.update(project.path, "--to", LATER)
    assert done.returncode == 0, done
    for name, (_, new) in FIXES.items():
        assert new in project.read(name), name
    assert {name: (project.path / name).read_bytes() for name in before} == before


def written_by_the_team(project: Project) -> list[Path]:
    """Return the files that tests/services has for the project, relative to it."""
    folder = SERVICES / project.answers["project_slug"]
    return [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
