"""The test runner, `make test`: what it does without an engine, and that CI calls it."""

import sys
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import run

pytestmark = pytest.mark.quick


def test_ci_calls_the_test_command_of_the_readme() -> None:
    for file in (".ci/run", ".github/workflows/ci.yml"):
        assert "make test" in (ROOT / file).read_text(), file


def test_test_runner_says_what_it_does_without_an_engine(tmp_path: Path) -> None:
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "LAB": "0",
        "REQUIRE_ENGINE": "1",
        "DOCKER_HOST": "unix:///nowhere.sock",
    }
    chosen = ["tests/image/test_build.py::test_missing_lock_fails_in_plain_words", "-p", "no:cacheprovider"]
    done = run(sys.executable, "scripts/test.py", *chosen, cwd=ROOT, env=env, check=False)
    assert done.returncode == 1
    assert "no Docker engine answers" in done.stdout
    done = run(sys.executable, "scripts/test.py", *chosen, cwd=ROOT, env={**env, "REQUIRE_ENGINE": ""}, check=False)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout
