"""This template itself: from before the house with owners to now, and from now to a version to come."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import MUST_WORK, ROOT, Answers, identify
from tests.helpers.project import run
from tests.helpers.repository import commit, copy_template, edit
from tests.update.conftest import Update
from tests.update.projects import copy, files, new_repository, unmerged

FOLDER = "{{cookiecutter.project_slug}}"
PACKAGE = "src/example_service"
# cookiecutter.json, hooks, templates and project of commit 6a24f9d: projects that were made then live on.
BEFORE = ROOT / "tests/update/before-the-house.bundle"


@pytest.fixture(scope="session")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This template as a repository with three versions, by tag: before (the house with owners), now, and later."""
    template = tmp_path_factory.mktemp("lineage") / "template"
    new_repository(template)
    run("git", "pull", "--quiet", BEFORE, "before", cwd=template)
    run("git", "tag", "before", cwd=template)
    run("git", "rm", "-r", "--quiet", ".", cwd=template)
    copy_template(template)
    commit(template, "as it is now")
    run("git", "tag", "now", cwd=template)
    later(template)
    commit(template, "as it may be later")
    run("git", "tag", "later", cwd=template)
    return template


def later(template: Path) -> None:
    """Fix something in every kind of place."""
    project = template / FOLDER
    edit(project / "src/service_runtime/stop.py", "\nimport signal\n", "\nimport signal  # fixed\n")
    edit(project / "tools/build/mirror.py", "\nimport ssl\n", "\nimport ssl  # fixed\n")
    (project / "tools/pins/uv.txt").rename(project / "tools/pins/uv-itself.txt")
    edit(project / "pyproject.toml", 'requires-poetry = ">=2.3.4,<3"', 'requires-poetry = ">=2.4,<3"')
    edit(project / "README.md", "## Updates from the template", "## Updates")
    edit(project / "Dockerfile", "\nUSER 10001:10001\n", "\nSTOPSIGNAL SIGTERM\nUSER 10001:10001\n")
    edit(project / "compose.yaml", "services:", "# Fixed.\nservices:")
    (project / "NEW.md").write_text("# New\n")
    edit(project / "src/{{cookiecutter.package_name}}/__main__.py", '"""The', '"""Fixed: the')
    for lock in (template / "templates/locks").iterdir():
        lock.write_text(lock.read_text() + "# newer\n")


@pytest.fixture(scope="session")
def render(lineage: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Answers], Path]:
    """Return a function that renders a version with cruft; what it returns is shared, so leave it as it is."""
    made: dict[str, Path] = {}

    def render(version: str, answers: Answers) -> Path:
        key = version + identify(answers)
        if key not in made:
            folder = tmp_path_factory.mktemp("render")
            options = ("--no-input", "--checkout", version, "--output-dir", folder)
            run("cruft", "create", str(lineage), *options, "--extra-context", json.dumps(answers))
            made[key] = next(folder.iterdir())
        return made[key]

    return render


def work(project: Path) -> None:
    """What a team does in a year; it can be done to every version. A conflict here is one that teams would have."""
    (project / PACKAGE / "orders.py").write_text('"""Orders."""\n\nOPEN = 1\n')
    (project / "tests/test_orders.py").write_text("def test_orders() -> None:\n    assert True\n")
    (project / "src/orders_client").mkdir()
    (project / "src/orders_client/__init__.py").write_text('"""What others import."""\n')
    edit(project / "README.md", "## Start", "Called by the shop, asks the warehouse.\n\n## Start")
    edit(project / "pyproject.toml", 'version = "0.1.0"', 'version = "1.4.2"')
    edit(project / "pyproject.toml", "dependencies = [\n", 'dependencies = [\n    "asyncpg>=0.31,<1",\n')
    edit(project / "pyproject.toml", '    "pydantic-settings', '    "orjson>=3,<4",\n    "pydantic-settings')
    edit(project / "pyproject.toml", "dev = [\n", 'dev = [\n    "freezegun>=1,<2",\n')
    edit(project / "Makefile", "types: install", "migrate: ## Migrate the database\n\t./migrate\n\ntypes: install")
    (project / "docker/apt-runtime.txt").write_text("# What the service needs.\nlibpq5\n")
    edit(project / "compose.yaml", "services:\n", "services:\n  database:\n    image: postgres:18\n\n")
    edit(project / ".gitignore", "never committed.\n", "never committed.\n/data/\n")
    (project / "migrations").mkdir()
    (project / "migrations/1.sql").write_text("create table orders ();\n")
    (project / "poetry.lock").write_text("# locked by the team\n")


def born(render: Callable[[str, Answers], Path], version: str, answers: Answers, folder: Path) -> Path:
    """Return a project of `version` whose team has worked on it."""
    project = copy(render(version, answers), folder)
    work(project)
    new_repository(project)
    commit(project, "a year")
    return project


def team(project: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the files that are the team's."""
    own = (f"{PACKAGE}/", "src/orders_client/", "tests/", "poetry.lock", "migrations/")
    return {name: content for name, content in files(project).items() if name.startswith(own)}


def shared(project: Path) -> dict[str, tuple[bytes, bool]]:
    """Return all other files."""
    return {name: content for name, content in files(project).items() if name not in team(project)}


@pytest.mark.parametrize("answers", MUST_WORK[:2], ids=identify)
@pytest.mark.parametrize(("old", "new"), [("before", "now"), ("before", "later"), ("now", "later")])
def test_a_year_of_work_and_an_update(
    render: Callable[[str, Answers], Path],
    update: Update,
    tmp_path: Path,
    old: str,
    new: str,
    answers: Answers,
) -> None:
    project = born(render, old, answers, tmp_path / "project")
    before = team(project)
    done = update(project, "--to", new)
    assert done.returncode == 0, done
    assert team(project) == before
    fresh = copy(render(new, answers), tmp_path / "fresh")
    work(fresh)
    assert shared(project) == shared(fresh)
    assert unmerged(project) == set()


@pytest.mark.parametrize("answers", MUST_WORK[:2], ids=identify)
def test_one_update_after_another_is_the_same_as_one(
    render: Callable[[str, Answers], Path], update: Update, tmp_path: Path, answers: Answers
) -> None:
    project = born(render, "before", answers, tmp_path / "project")
    other = copy(project, tmp_path / "other")
    assert update(other, "--to", "later").returncode == 0
    assert update(project, "--to", "now").returncode == 0
    commit(project, "update 1")
    run("git", "clone", "--quiet", "--depth=1", f"file://{project}", tmp_path / "clone")
    assert update(tmp_path / "clone", "--to", "later").returncode == 0
    assert files(tmp_path / "clone") == files(other)


def test_what_people_would_expect_to_decide_is_all_that_conflicts(
    render: Callable[[str, Answers], Path], update: Update, tmp_path: Path
) -> None:
    """A bigger budget for the image moves to another table; what a team adds to the Dockerfile does not."""
    project = born(render, "before", MUST_WORK[0], tmp_path / "project")
    edit(project / "pyproject.toml", "venv = 40", "venv = 90")
    edit(project / "Dockerfile", "# Last,", "ENV TZ=Asia/Seoul\n# Last,")
    edit(project / "deploy/kubernetes.yaml", "replicas: 2", "replicas: 5")
    commit(project, "ours")
    before = team(project)
    done = update(project, "--to", "now")
    assert done.returncode == 1, done
    assert unmerged(project) == {"pyproject.toml"}
    assert "venv = 90" in (project / "pyproject.toml").read_text()
    assert "[tool.image-contract]" in (project / "pyproject.toml").read_text()
    assert "ENV TZ=Asia/Seoul\n# Last," in (project / "Dockerfile").read_text()
    assert "replicas: 5" in (project / "deploy/base/kubernetes.yaml").read_text()
    assert team(project) == before
