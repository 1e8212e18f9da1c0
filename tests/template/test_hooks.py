"""What the hooks refuse and how they say it, and that answers are data to them."""

import json
import os
import re
import runpy
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name

from tests.helpers.combinations import CHOICES, HOSTILE_TEXTS, MUST_BE_REFUSED, ROOT, Answers
from tests.helpers.project import Bake, known, run

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("answers", "hint"), MUST_BE_REFUSED, ids=[repr(next(iter(a.values())))[:30] for a, _ in MUST_BE_REFUSED]
)
def test_wrong_answer_is_refused(cookies: Any, capfd: pytest.CaptureFixture[str], answers: Answers, hint: str) -> None:
    result = cookies.bake(extra_context=known(answers), template=str(ROOT))
    assert result.exit_code != 0
    assert result.project_path is None
    (name, value), out = next(iter(answers.items())), capfd.readouterr()
    line = next(line for line in out.err.splitlines() if line.startswith(f"  - {name} is"))
    assert repr(value) in line
    assert hint in line
    assert not out.out


def test_all_wrong_answers_are_named_at_once_and_nothing_is_left(tmp_path: Path) -> None:
    answers = [f"{name}=!" for name in ("project_slug", "package_name", "author_email")]
    done = cookiecutter(tmp_path, *answers, "project_name=a{{ 1")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_all_wrong_answers_are_named_at_once(cookies: Any, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = {"project_name": " x", "package_name": "1", "author_email": "@", "description": "\t"}
    assert cookies.bake(extra_context=known(wrong), template=str(ROOT)).exit_code != 0
    text = capfd.readouterr().err
    assert "4 answers can't be used" in text or "5 answers can't be used" in text
    assert all(f"  - {name} is {value!r}; allowed: " in text for name, value in wrong.items())


def test_refusal_says_how_to_go_on_and_that_way_works(tmp_path: Path) -> None:
    out, config = tmp_path / "out", Path(os.environ["COOKIECUTTER_CONFIG"])
    done = cookiecutter(out, "project_slug=Wrong", "author_name=Remembered", f"description={'x' * 201}")
    assert done.returncode == 1
    assert not out.exists() or list(out.iterdir()) == []
    assert f"cookiecutter --replay {ROOT}" in done.stderr
    replay = config.parent / "replay" / f"{ROOT.name}.json"
    assert f".cookiecutter_replay/{ROOT.name}.json" in done.stderr  # where it is unless configured otherwise
    answers = json.loads(replay.read_text())
    answers["cookiecutter"] |= {"project_slug": "right", "package_name": "right", "description": "short"}
    replay.write_text(json.dumps(answers))
    run("cookiecutter", "--replay", ROOT, "--output-dir", out)
    metadata = tomllib.loads((out / "right/pyproject.toml").read_text())["project"]
    assert (metadata["authors"][0]["name"], metadata["description"]) == ("Remembered", "short")


@pytest.mark.parametrize("name", CHOICES)
def test_wrong_choice_in_a_replay_file_is_refused(tmp_path: Path, bake: Bake, name: str) -> None:
    answers = {**bake().answers, name: "bogus"}
    (tmp_path / "replay.json").write_text(json.dumps({"cookiecutter": answers}))
    done = run("cookiecutter", "--replay-file", tmp_path / "replay.json", ROOT, "-o", tmp_path / "out", check=False)
    assert done.returncode == 1
    assert f"  - {name} is 'bogus'; allowed: {', '.join(CHOICES[name])}" in done.stderr
    assert not (tmp_path / "out" / answers["project_slug"]).exists()


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "example-service").mkdir()
    (tmp_path / "example-service/mine.txt").write_text("mine")
    done = cookiecutter(tmp_path)
    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "example-service").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("name", "value"), [("project_slug", "fastapi"), ("package_name", "pydantic_settings")])
def test_name_of_a_dependency_is_refused(
    cookies: Any, capfd: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    result = cookies.bake(extra_context=known({name: value}), template=str(ROOT))
    assert result.project_path is None
    assert f"{name} is {value!r}; allowed: a name that no dependency has" in capfd.readouterr().err


def test_no_module_of_a_dependency_is_a_name_for_a_package() -> None:
    """poetry.lock has the names of the packages; those of modules that differ stand in the hook."""
    locks = [tomllib.loads(path.read_text()) for path in (ROOT / "templates/locks").iterdir()]
    locked = {package["name"] for lock in locks for package in lock["package"]}
    known = re.findall(r"\w+", (ROOT / "hooks/pre_gen_project.py").read_text())
    for module, owners in packages_distributions().items():
        if locked.intersection(map(canonicalize_name, owners)) and re.fullmatch("[a-z][a-z0-9_]*(?<!__mypyc)", module):
            assert canonicalize_name(module) in locked or module in known, f"MODULES lacks {module}"


def test_hooks_are_silent_on_success(cookies: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert cookies.bake(template=str(ROOT)).exit_code == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_free_text_survives_byte_for_byte(bake: Bake, text: str) -> None:
    author, description = text.replace("<", "").replace(">", ""), text.rstrip(" \\")
    project = bake(
        project_name=text, project_slug="hostile", package_name="hostile", description=description, author_name=author
    )
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == description
    assert metadata["authors"][0]["name"] == author
    assert project.read("README.md").startswith(f"# {text}\n\n{description}\n")
    assert author in project.read("LICENSE")
    for path in project.files():
        if path.suffix in (".yml", ".yaml"):
            assert list(yaml.safe_load_all(project.read(str(path))))
        if path.suffix == ".py":
            compile(project.read(str(path)), str(path), "exec")


def test_post_gen_notices_what_does_not_fit_together(bake: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bake()
    source = (ROOT / "hooks/post_gen_project.py").read_text()
    hook = project.path.parent / "hook.py"
    answers = repr(json.dumps(dict(project.answers)))
    hook.write_text(re.sub(r"\{\{.+?\}\}", lambda _: answers, source, count=1))
    module = runpy.run_path(str(hook))
    monkeypatch.chdir(project.path)
    assert module["errors"]() == []
    for name, change in {
        "Dockerfile": ("PYTHON_VERSION=3.14", "PYTHON_VERSION=3.13"),
        "pyproject.toml": ('requires-python = ">=3.14', 'requires-python = ">=3.13'),
        "poetry.lock": ('python-versions = ">=3.14', 'python-versions = ">=3.13'),
        ".python-version": ("3.14", "3.13"),
    }.items():
        before = project.read(name)
        project.write(name, before.replace(*change))
        assert module["errors"]() == [f"{name} names Python 3.13, not 3.14"]
        project.write(name, before)
    (project.path / "docker/pip.conf").unlink()
    assert module["errors"]() == ["docker/pip.conf is missing"]


def cookiecutter(folder: Path, *answers: str) -> Any:
    return run("cookiecutter", "--no-input", ROOT, "--output-dir", folder, *answers, check=False)
