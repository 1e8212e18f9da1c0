"""This template itself: from before the house with owners, and from each release, to now and to a version to come."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.combinations import MUST_WORK, ROOT, Answers, identify
from tests.helpers.project import run
from tests.helpers.repository import commit, copy_template, edit
from tests.update.cases import History, cloned, plain, shallow, squashed
from tests.update.conftest import Update
from tests.update.projects import copy, files, new_repository, unmerged

FOLDER = "{{cookiecutter.project_slug}}"
PACKAGE = "src/example_service"
# cookiecutter.json, hooks, templates and project of commit 6a24f9d: projects that were made then live on.
BEFORE = ROOT / "tests/update/before-the-house.bundle"
# Each tag of a release makes its own tests.
RELEASES = run("git", "tag", "--list", "v*", "--merged", "HEAD", cwd=ROOT).stdout.split()


@pytest.fixture(scope="session")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This template as a repository, by tag: before (the house with owners), each release, now, and later."""
    template = tmp_path_factory.mktemp("lineage") / "template"
    new_repository(template)
    run("git", "pull", "--quiet", BEFORE, "before", cwd=template)
    run("git", "tag", "before", cwd=template)
    tags = [f"refs/tags/{tag}:refs/tags/{tag}" for tag in RELEASES]
    if tags:
        run("git", "fetch", "--quiet", "--no-tags", "--update-shallow", ROOT, *tags, cwd=template)
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


@pytest.mark.parametrize(
    ("old", "new", "history", "answers"),
    [
        *[("before", "now", plain, answers) for answers in MUST_WORK[::3]],
        *[("before", "later", shallow, answers) for answers in MUST_WORK[:2]],
        *[("now", "later", cloned, answers) for answers in MUST_WORK[:2]],
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
    # The house is moved into as a whole, and left alone from then on.
    assert team(project) == (team(fresh) if old == "before" else before)
    assert shared(project) == shared(fresh)
    assert unmerged(project) == set()


@pytest.mark.parametrize(("answers", "history"), [(MUST_WORK[0], squashed), (MUST_WORK[1], shallow)])
def test_one_update_after_another_is_the_same_as_one(
    render: Callable[[str, Answers], Path], update: Update, tmp_path: Path, answers: Answers, history: History
) -> None:
    project = born(render, "before", answers, tmp_path / "project")
    other = copy(project, tmp_path / "other")
    assert update(other, "--to", "later").returncode == 0
    assert update(project, "--to", "now").returncode == 0
    commit(project, "update 1")
    history(project)
    assert update(project, "--to", "later").returncode == 0
    # But for what is the team's once the house has been moved into.
    (other / PACKAGE / "__main__.py").write_bytes((project / PACKAGE / "__main__.py").read_bytes())
    assert files(project) == files(other)


ROUTE = '''
    @app.get("/orders")
    async def orders() -> int:
        """Tell how many are open."""
        return OPEN
'''
SETTING = '    database_url: Annotated[str, Field(description="an address")] = "postgresql://localhost"\n'


def test_what_people_would_expect_to_decide_is_all_that_conflicts(
    render: Callable[[str, Answers], Path], update: Update, tmp_path: Path
) -> None:
    """What has moved elsewhere and was edited: a budget, a setting among the template's, a check, a file that goes."""
    project = born(render, "before", MUST_WORK[0], tmp_path / "project")
    edit(project / "pyproject.toml", "venv = 40", "venv = 90")
    edit(project / "Dockerfile", "# Last,", "ENV TZ=Asia/Seoul\n# Last,")
    edit(project / "deploy/kubernetes.yaml", "replicas: 2", "replicas: 5")
    edit(project / PACKAGE / "settings.py", "= 8000\n", f"= 8000\n{SETTING}")
    edit(project / PACKAGE / "app.py", "\n    return app\n", f"{ROUTE}\n    return app\n")
    edit(project / PACKAGE / "app.py", '        return "ready"\n', '        # Ours.\n        return "ready"\n')
    edit(
        project / PACKAGE / "server.py",
        '"""',
        '"""Ours: ',
    )
    commit(project, "ours")
    done = update(project, "--to", "now")
    assert done.returncode == 1, done
    decide = {
        "pyproject.toml": "venv = 90",
        f"{PACKAGE}/app.py": "        # Ours.\n",
        f"{PACKAGE}/settings.py": SETTING,
        "src/service_runtime/server.py": "Ours: ",
    }
    assert unmerged(project) == decide.keys()
    for name, ours in decide.items():
        assert ours in (project / name).read_text()
    assert ROUTE in (project / PACKAGE / "app.py").read_text().split(">>>>>>> template")[-1]
    assert "[tool.image-contract]" in (project / "pyproject.toml").read_text()
    assert "ENV TZ=Asia/Seoul\n# Last," in (project / "Dockerfile").read_text()
    assert "replicas: 5" in (project / "deploy/base/kubernetes.yaml").read_text()
    # The rest of the house is that of a new project, beside what the team has made.
    fresh = copy(render("now", MUST_WORK[0]), tmp_path / "fresh")
    work(fresh)
    left = {name: content for name, content in team(project).items() if name not in decide}
    assert left == {name: content for name, content in team(fresh).items() if name not in decide}


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
    assert "# fixed" in (project / "tools/build/mirror.py").read_text()
    assert "# fixed" in (project / "src/service_runtime/stop.py").read_text()
    assert {name: after[name] for name in theirs} == {name: before[name] for name in theirs}
    assert after.keys() - before.keys() == {"NEW.md", "tools/pins/uv-itself.txt"}
    assert after["pyproject.toml"] == before["pyproject.toml"]
