"""This template itself: from each release to now, and from now to a version to come."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import MUST_WORK, ROOT, Answers, identify
from tests.helpers.project import run
from tests.helpers.repository import commit, copy_template, edit
from tests.update.cases import History, cloned, plain, shallow
from tests.update.conftest import Update
from tests.update.projects import copy, files, new_repository, unmerged

FOLDER = "{{cookiecutter.project_slug}}"
PACKAGE = "src/example_service"
# Each tag of a release makes its own tests.
RELEASES = run("git", "tag", "--list", "v*", "--merged", "HEAD", cwd=ROOT).stdout.split()


@pytest.fixture(scope="session")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This template as a repository, by tag: each release, now, and later."""
    template = tmp_path_factory.mktemp("lineage") / "template"
    new_repository(template)
    tags = [f"refs/tags/{tag}:refs/tags/{tag}" for tag in RELEASES]
    if tags:
        run("git", "fetch", "--quiet", "--no-tags", "--update-shallow", ROOT, *tags, cwd=template)
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
    edit(project / "tools/image/mirror.py", "\nimport tempfile\n", "\nimport tempfile  # fixed\n")
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


@pytest.mark.parametrize(
    ("old", "new", "history", "answers"),
    [
        *[("now", "later", plain, answers) for answers in MUST_WORK[::3]],
        *[("now", "later", history, answers) for history in (cloned, shallow) for answers in MUST_WORK[:2]],
        *[(release, "now", plain, answers) for release in RELEASES for answers in MUST_WORK[:2]],
    ],
    ids=lambda value: value.__name__ if callable(value) else value if isinstance(value, str) else identify(value),
)
def test_a_year_of_work_and_an_update(
    render: Callable[[str, Answers], Path],
    update: Update,
    tmp_path: Path,
    old: str,
    new: str,
    history: History,
    answers: Answers,
) -> None:
    project = born(render, old, answers, tmp_path / "project")
    before = team(project)
    history(project)
    done = update(project, "--to", new)
    assert done.returncode == 0, done
    fresh = copy(render(new, answers), tmp_path / "fresh")
    work(fresh)
    assert team(project) == before
    assert shared(project) == shared(fresh)
    assert unmerged(project) == set()


def test_a_service_that_was_not_born_here_takes_part(
    render: Callable[[str, Answers], Path], lineage: Path, update: Update, tmp_path: Path
) -> None:
    """The walk of docs/updates.md: what is taken along is updated, what is theirs is not, whatever its name."""
    theirs = {"README.md": "# Shop\n", "poetry.lock": "# theirs\n", "app/main.py": "APP = 1\n"}
    theirs[".gitignore"] = "build/\n"
    project = tmp_path / "shop"
    new_repository(project)
    for name, text in theirs.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    taken = ("Dockerfile", "Makefile", "docker", "tools", "src/service_runtime")
    for name in taken:
        (project / name).parent.mkdir(exist_ok=True)
        run("cp", "-r", render("now", MUST_WORK[0]) / name, project / name)
    skip = json.dumps([*theirs, "pyproject.toml"])
    (project / "pyproject.toml").write_text(f'[tool.poetry]\nname = "shop"\n\n[tool.cruft]\nskip = {skip}\n')
    answers = json.dumps({"project_slug": "shop", **MUST_WORK[0]})
    run("cruft", "link", str(lineage), "-y", "--checkout", "now", "--extra-context", answers, cwd=project)
    run("git", "add", "--force", "tools", cwd=project)
    commit(project, "take part")
    before = files(project)
    done = update(project, "--to", "later")
    assert done.returncode == 0, done
    after = files(project)
    assert "STOPSIGNAL" in (project / "Dockerfile").read_text()
    assert "# fixed" in (project / "tools/image/mirror.py").read_text()
    assert "# fixed" in (project / "src/service_runtime/stop.py").read_text()
    assert {name: after[name] for name in theirs} == {name: before[name] for name in theirs}
    assert after.keys() - before.keys() == {"NEW.md", "tools/pins/uv-itself.txt"}
    assert after["pyproject.toml"] == before["pyproject.toml"]
