"""The life of a project under cruft, with real git repositories: created, edited by its team, updated."""

import json
from pathlib import Path

import pytest

from tests.helpers.combinations import MUST_WORK, Answers, identify
from tests.helpers.project import run
from tests.helpers.repository import append, changed, commit, create, edit

FOLDER = "{{cookiecutter.project_slug}}"


@pytest.mark.parametrize("answers", MUST_WORK[:2] + MUST_WORK[-2:], ids=identify)
def test_clean_create_diff_and_update(template: Path, tmp_path: Path, answers: Answers) -> None:
    project = create(template, tmp_path / "out", answers)
    assert run("cruft", "diff", "--exit-code", cwd=project).stdout == ""
    run("cruft", "check", cwd=project)

    # The team works: code, tests, a dependency of its own, a locked version, a line in the README.
    append(project / "src/example_service/__init__.py", "ANSWER = 42\n")
    (project / "tests/test_own.py").write_text("def test_own() -> None:\n    assert True\n")
    append(project / "poetry.lock", "# locked again\n")
    append(project / "README.md", "\nOur own notes.\n")
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("dependencies = [\n", 'dependencies = [\n    "attrs>=25",\n', 1))
    commit(project, "our work")

    # The template moves on: other settings, a new file, fixes in its own code, a change in what is the team's by now.
    edit(template / FOLDER / "pyproject.toml", 'requires-poetry = ">=2.3.4,<3"', 'requires-poetry = ">=2.4,<3"')
    edit(template / FOLDER / "README.md", "\n## ", "\n## Newer: ")
    (template / FOLDER / "NEW.md").write_text("# {% raw %}{{ new }}{% endraw %}\n")
    fixed = {"Dockerfile", "src/service_runtime/stop.py", "tools/image/mirror.py"}
    for name in fixed:
        append(template / FOLDER / name, "# fixed\n")
    append(template / FOLDER / "src/{{cookiecutter.package_name}}/__init__.py", "TEMPLATE = True\n")
    for lock in (template / "templates/locks").iterdir():
        append(lock, "# newer\n")
    commit(template, "second")

    assert run("cruft", "check", cwd=project, check=False).returncode == 1
    run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert changed(project) == {".cruft.json", "pyproject.toml", "README.md", "NEW.md", *fixed}
    assert 'requires-poetry = ">=2.4,<3"' in pyproject.read_text()
    assert '"attrs>=25"' in pyproject.read_text()
    readme = (project / "README.md").read_text()
    assert "## Newer: " in readme
    assert "Our own notes." in readme
    run("cruft", "check", cwd=project)


def move_on(template: Path) -> None:
    """Commit a change to the template."""
    append(template / FOLDER / "Makefile", "# newer\n")
    commit(template, "second")


def test_choices_switch_by_an_update(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "out", {})
    move_on(template)
    switched = json.dumps({"ci": "gitlab", "mirror": "none"})
    run("cruft", "update", "--skip-apply-ask", "--variables-to-update", switched, cwd=project)
    changed(project)
    assert (project / ".gitlab-ci.yml").exists()
    assert not (project / ".github").exists() or not list((project / ".github").rglob("*.yml"))
    assert not (project / "docker/pip.conf").exists()
    assert not (project / "docker/debian.sources").exists()


def test_refused_answer_in_an_update_says_how_to_go_on(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "out", {})
    move_on(template)
    before = (project / ".cruft.json").read_text()
    wrong = json.dumps({"author_email": "nobody"})
    done = run("cruft", "update", "--skip-apply-ask", "--variables-to-update", wrong, cwd=project, check=False)
    assert done.returncode == 1
    assert "author_email is 'nobody'" in done.stderr
    assert "--variables-to-update" in done.stderr
    assert (project / ".cruft.json").read_text() == before
    assert changed(project) == set()


def test_interactive_update_works(template: Path, tmp_path: Path) -> None:
    """cruft 2.16 needs typer < 0.29 for it, which our own lock and the README pin."""
    project = create(template, tmp_path / "out", {})
    move_on(template)
    done = run("sh", "-c", "echo y | cruft update", cwd=project)
    assert done.returncode == 0
    assert changed(project) == {".cruft.json", "Makefile"}


def test_create_by_cruft_and_by_cookiecutter_give_the_same(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "cruft", {})
    run("cookiecutter", "--no-input", template, "--output-dir", tmp_path / "cookiecutter")
    done = run("diff", "-r", "-x", ".git", "-x", ".cruft.json", project, tmp_path / "cookiecutter" / project.name)
    assert done.stdout == ""


def test_cookiecutter_takes_a_repository_by_url(template: Path, tmp_path: Path) -> None:
    done = run("cookiecutter", "--no-input", f"git+file://{template}", "--output-dir", tmp_path / "out")
    assert done.stderr == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["example-service"]
