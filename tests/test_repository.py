"""The repository itself: its commands, its own locks, and the promises of its README."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from benchmarks.report import TITLES, comparison, growth, text
from scripts.locks import POETRY
from tests.combinations import ROOT
from tests.conftest import run


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


def test_locks_of_our_own_tools_are_in_step() -> None:
    run("poetry", "check", "--lock", "--strict", cwd=ROOT)
    for name, options in {"new": ["--only", "main"], "dev": ["--all-groups"]}.items():
        exported = run(*POETRY, "export", *options, cwd=ROOT).stdout
        assert (ROOT / f"requirements/{name}.txt").read_text() == exported, f"requirements/{name}.txt: run `make locks`"


def test_ci_calls_the_test_command_of_the_readme() -> None:
    for file in (".ci/run", ".github/workflows/ci.yml"):
        assert "make test" in (ROOT / file).read_text(), file


def test_both_readmes_have_the_same_parts() -> None:
    english, korean = ((ROOT / name).read_text() for name in ("README.md", "README.ko.md"))
    code = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
    for part in (
        lambda text: [len(hashes) for hashes in re.findall(r"^(#+) ", code.sub("", text), re.M)],
        # Commands are equal word by word but for their comments; pictures may be explained in each language.
        lambda text: [
            re.sub(r" +#.*", "", block) for block in code.findall(text) if "make " in block or "docker " in block
        ],
        lambda text: re.findall(r"^\| `([^`]+)`", text, re.M),
    ):
        assert part(english) == part(korean)


def figures(markdown: str) -> list[list[str]]:
    """Return the cells of all table lines that hold figures."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    return [cells for cells in lines if any(re.fullmatch(r"[\d.]+ (s|kB|MB)", cell) for cell in cells)]


def test_both_readmes_show_what_the_benchmark_measured() -> None:
    found = json.loads((ROOT / "benchmarks/results/bench.json").read_text())
    recipes = [cells[: 1 + len(TITLES)] for cells in figures(comparison(found["recipes"]))]
    measured = [*recipes, *figures(growth(found["growth"]))]
    shown = figures((ROOT / "README.md").read_text())
    assert shown == [cells for cells in measured if not cells[0].startswith("fetched")]
    assert [cells[1:] for cells in figures((ROOT / "README.ko.md").read_text())] == [cells[1:] for cells in shown]
    prose = [text(median(found["runner"][machine]["seconds"]), "s") for machine in ("new", "warm")]
    prose.append(f"{median(found['render']['seconds']) * 1000:.0f} ms")
    for name in ("README.md", "README.ko.md"):
        assert not [figure for figure in prose if figure not in (ROOT / name).read_text()], name


def test_test_runner_says_what_it_does_without_an_engine(tmp_path: Path) -> None:
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "LAB": "0",
        "REQUIRE_ENGINE": "1",
        "DOCKER_HOST": "unix:///nowhere.sock",
    }
    chosen = ["tests/test_image.py::test_missing_lock_fails_in_plain_words", "-p", "no:cacheprovider"]
    done = run(sys.executable, "scripts/test.py", *chosen, cwd=ROOT, env=env, check=False)
    assert done.returncode == 1
    assert "no Docker engine answers" in done.stdout
    done = run(sys.executable, "scripts/test.py", *chosen, cwd=ROOT, env={**env, "REQUIRE_ENGINE": ""}, check=False)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout
