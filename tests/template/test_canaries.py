"""Nothing in an answer is executed, whichever way it comes in: a canary would be left where $CANARY says."""

import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scripts.new import parse
from tests.helpers.answers import BAIT, JINJA_CANARIES
from tests.helpers.combinations import CHOICES, DECLARED, PRIVATE, ROOT, Answers
from tests.helpers.project import Run, run
from tests.helpers.repository import append, commit, create
from tests.helpers.update import update


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is there when something was executed."""
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    return tmp_path / "canary"


def by_prompt(answers: Answers, folder: Path) -> Run:
    """Answer the questions one by one, with Enter for those that are not in `answers`."""
    lines = "".join(f"{answers.get(name, '')}\n" for name in DECLARED if not name.startswith("_"))
    command = ["cookiecutter", str(ROOT), "--output-dir", str(folder)]
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=False)


def by_command_line(answers: Answers, folder: Path) -> Run:
    words = [f"{name}={value}" for name, value in answers.items()]
    return run("cookiecutter", "--no-input", ROOT, "--output-dir", folder, *words, check=False)


def by_replay(answers: Answers, folder: Path) -> Run:
    complete = {"project_slug": "example", "package_name": "example", "author_email": "a@example.com"}
    complete |= {name: offered[0] for name, offered in CHOICES.items()}
    file = folder.with_name("replay.json")
    file.write_text(json.dumps({"cookiecutter": PRIVATE | complete | answers}))
    return run("cookiecutter", "--replay-file", file, ROOT, "--output-dir", folder, check=False)


def by_rc_file(answers: Answers, folder: Path) -> Run:
    with Path(os.environ["COOKIECUTTER_CONFIG"]).open("a") as config:
        config.write(yaml.safe_dump({"default_context": answers}))
    return run("cookiecutter", "--no-input", ROOT, "--output-dir", folder, check=False)


Way = Callable[[Answers, Path], Run]


@pytest.mark.parametrize("way", [by_prompt, by_command_line, by_replay, by_rc_file])
def test_text_stays_text(tmp_path: Path, canary: Path, way: Way) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = way(BAIT, out)
    assert done.returncode == 0, done.stderr
    (project,) = out.iterdir()
    # What people do next reads the rendered files.
    run("make", "--dry-run", "image", cwd=project)
    run("poetry", "check", "--lock", "--strict", cwd=project)
    run("hadolint", "Dockerfile", cwd=project)
    assert not canary.exists()
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["description"] == BAIT["description"]
    assert metadata["authors"][0]["name"] == BAIT["author_name"]
    assert (project / "README.md").read_text().startswith(f"# {BAIT['project_name']}\n")


@pytest.mark.parametrize("way", [by_prompt, by_replay])
@pytest.mark.parametrize("text", JINJA_CANARIES)
def test_jinja_is_refused(tmp_path: Path, canary: Path, way: Way, text: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    names = {"project_slug": "example", "package_name": "example"}
    done = way(names | {"project_name": text, "description": text, "author_name": text}, out)
    assert done.returncode == 1
    assert done.stderr.count("which would be run as template code") == 3
    assert list(out.iterdir()) == []
    assert not canary.exists()


@pytest.mark.parametrize("text", JINJA_CANARIES)
def test_make_new_hands_no_jinja_on(canary: Path, text: str) -> None:
    """Cookiecutter would run it: what is on its command line is code, for it and its caller."""
    with pytest.raises(SystemExit, match="which cookiecutter would run as code"):
        parse([f"description={text}"])
    assert not canary.exists()


def test_life_with_cruft(template: Path, tmp_path: Path, canary: Path) -> None:
    project = create(template, tmp_path / "out", BAIT)
    recorded = json.loads((project / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert {name: recorded[name] for name in BAIT} == BAIT
    append(template / "{{cookiecutter.project_slug}}/Makefile", "# newer\n")
    commit(template, "second")
    other = {"author_name": BAIT["project_name"]}
    options = ("--skip-apply-ask", "--variables-to-update", json.dumps(other))
    run("cruft", "update", *options, cwd=project)
    assert (
        tomllib.loads((project / "pyproject.toml").read_text())["project"]["authors"][0]["name"] == other["author_name"]
    )
    assert (project / "Makefile").read_text().endswith("# newer\n")
    assert not canary.exists()

    commit(project, "updated")
    append(template / "{{cookiecutter.project_slug}}/Makefile", "# newest\n")
    commit(template, "third")
    assert update(project).returncode == 0
    assert (project / "Makefile").read_text().endswith("# newest\n")
    assert not canary.exists()

    # `make update` renders what .cruft.json holds, and that came with a request, say.
    commit(project, "updated again")
    state = json.loads((project / ".cruft.json").read_text())
    state["context"]["cookiecutter"]["author_name"] = JINJA_CANARIES[0]
    (project / ".cruft.json").write_text(json.dumps(state))
    commit(project, "poisoned")
    done = update(project, "--vars", json.dumps({"description": [JINJA_CANARIES[1]]}))
    assert done.returncode == 2
    assert done.stderr.count("which would be run as template code") == 2
    assert not canary.exists()
