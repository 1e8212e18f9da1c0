"""`make`, which explains itself, and `make new`."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import run

pytestmark = pytest.mark.quick


def make(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run("make", "--no-print-directory", *arguments, cwd=ROOT, check=check)


def test_make_alone_explains_every_command() -> None:
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[0].split()
    shown = re.findall(r"^  make (\S+) +\S", make().stdout, re.M)
    assert shown == targets


def test_make_new_without_a_terminal_takes_the_defaults(tmp_path: Path) -> None:
    done = make("new", f"OUT={tmp_path}")
    project = tmp_path / "example-service"
    assert (project / "pyproject.toml").exists()
    assert f"Your service is in {project}" in done.stdout
    assert re.findall(r"^    (\S.*?)(?:  .*)?$", done.stdout, re.M) == [
        f"cd {project}",
        "make check",
        "make up",
    ]


def test_make_new_passes_answers_through(tmp_path: Path) -> None:
    make("new", f"OUT={tmp_path}", "ARGS=project_name='Two Words' ci=gitlab")
    assert (tmp_path / "two-words/.gitlab-ci.yml").exists()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ("nonsense=1", "project_name, project_slug"),
        ("ci=travis", "github, gitlab, none"),
        ("x", "name=value"),
    ],
)
def test_make_new_refuses_what_cookiecutter_would_ignore(tmp_path: Path, answers: str, words: str) -> None:
    done = make("new", f"OUT={tmp_path}", f"ARGS={answers}", check=False)
    assert done.returncode != 0
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_make_new_leaves_an_existing_project_alone(tmp_path: Path) -> None:
    (tmp_path / "example-service").mkdir()
    done = make("new", f"OUT={tmp_path}", check=False)
    assert done.returncode != 0
    assert "already exists" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "example-service").iterdir())


def test_make_new_asks_on_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = ["make", "--no-print-directory", "new", f"OUT={tmp_path}", "ARGS=project_name=Asked"]
    with subprocess.Popen(command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        os.write(master, b"\n" * 20)  # Enter takes each default
        seen = b""
        while process.poll() is None or not seen:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
    text = seen.decode()
    assert process.returncode == 0, text
    assert "What the service does, in one line" in text
    assert "fastapi: an HTTP API on uvicorn" in text
    assert (tmp_path / "asked").exists()
