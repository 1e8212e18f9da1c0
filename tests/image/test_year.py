"""A year of a service: its team has worked, the template has fixed bugs, and one update brings both together."""

from pathlib import Path

import pytest

from tests.helpers.contract import judge, red, table
from tests.helpers.engine import Engine, healthcheck, until
from tests.helpers.project import Project, add_dependency, relock, run
from tests.helpers.repository import append, changed, commit, create, edit

FOLDER = "{{cookiecutter.project_slug}}"
ROUTE = '''
    @app.get("/orders")
    async def orders() -> list[str]:
        """List the orders."""
        return [humanize.intcomma(1000)]

    return app
'''
SETTING = '    database_url: Annotated[SecretStr, Field(description="postgresql://user:password@host/name")]\n'


def work_for_a_year(project: Project) -> None:
    """Do what a team does: code, a required setting, a dependency, a line of the Dockerfile, a test that moves."""
    package = project.path / "src" / project.package
    edit(package / "app.py", "\n    return app\n", ROUTE)
    edit(package / "app.py", "from fastapi import FastAPI\n", "import humanize\nfrom fastapi import FastAPI\n")
    append(package / "settings.py", f"\n{SETTING}")
    imports = "from typing import Annotated\n\nfrom pydantic import Field, SecretStr\n\nfrom service_runtime"
    edit(package / "settings.py", "from service_runtime", imports)
    (project.path / "tests/api").mkdir()
    (project.path / "tests/test_app.py").rename(project.path / "tests/api/test_app.py")
    edit(project.path / "tests/conftest.py", "    return Settings()", '    return Settings(database_url="secret://")')
    edit(project.path / "pyproject.toml", "settings = {}", 'settings = { DATABASE_URL = "postgresql://placeholder" }')
    edit(project.path / "Dockerfile", "PYTHONFAULTHANDLER=1", "PYTHONFAULTHANDLER=1 TZ=Asia/Seoul")
    append(project.path / "docker/apt-runtime.txt", "tzdata\n")
    add_dependency(project, "humanize>=4")
    relock(project)
    commit(project.path, "a year of work")


def fix_bugs(template: Path) -> dict[str, str]:
    """Fix a bug in each of the template's parts; return what each file must hold afterwards."""
    fixes = {
        "src/service_runtime/server.py": ('logger.info("stopping"', 'logger.info("about to stop"'),
        "tools/doctor.py": ("no problem found", "nothing to complain about"),
        "Dockerfile": ("\nUSER 10001:10001\n", "\nSTOPSIGNAL SIGTERM\nUSER 10001:10001\n"),
    }
    for name, (old, new) in fixes.items():
        edit(template / FOLDER / name, old, new)
    commit(template, "three bugs fixed")
    return {name: new for name, (_, new) in fixes.items()}


def test_fixes_reach_a_project_whose_team_has_worked_for_a_year(
    template: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.need("3.14")
    folder = create(template, tmp_path / "out", {"python_version": "3.14", "service_type": "fastapi"})
    project = Project(folder, {"package_name": "example_service", "python_version": "3.14"})
    work_for_a_year(project)
    written_by_the_team = {str(path): project.read(str(path)) for path in project.files() if path.suffix == ".py"}
    fixed = fix_bugs(template)

    run("cruft", "update", "--skip-apply-ask", cwd=folder)

    assert changed(folder) == {".cruft.json", *fixed}
    for name, text in fixed.items():
        assert text in project.read(name), name
    for name, text in written_by_the_team.items():
        assert name in fixed or project.read(name) == text, name
    assert "TZ=Asia/Seoul" in project.read("Dockerfile")
    assert not (folder / "tests/test_app.py").exists()

    image = "template-test/year"
    engine.images.append(image)
    monkeypatch.setenv("BUILD_FLAGS", " ".join(engine.build_flags))
    settings = {"IMAGE": image, "DEBIAN_SUITE": engine.suites["3.14"]}
    commit(folder, "update of the template")
    project.make("image", env=settings)
    assert red(table(judge(project, image))) == {}
    container = engine.start("--env", "DATABASE_URL=postgresql://placeholder", image)
    until(lambda: healthcheck(engine, container))
    engine.docker("stop", container)
    assert "about to stop" in engine.docker("logs", container).stdout
