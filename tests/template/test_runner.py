"""The test runner, `make test`: what it does without an engine, and that CI calls it."""

import sys

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.project import run

pytestmark = pytest.mark.quick


def test_ci_calls_the_test_command_of_the_readme() -> None:
    for file in (".ci/run", ".github/workflows/ci.yml"):
        assert "make test" in (ROOT / file).read_text(), file


def test_emulation_is_a_command_of_its_own() -> None:
    """`make test` takes none of its tests, and CI calls it, too."""
    options = ("--collect-only", "--quiet", "-p", "no:cacheprovider", "tests/image/test_arm64.py")
    assert "no tests collected" in run(sys.executable, "-m", "pytest", *options, cwd=ROOT, check=False).stdout
    assert "::test_holds" in run(sys.executable, "-m", "pytest", *options, "-m", "arm64", cwd=ROOT).stdout
    assert "\nmake arm64\n" in (ROOT / ".ci/run").read_text()


WITHOUT_ENGINE = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///nowhere.sock"}


def test_test_runner_says_what_it_does_without_an_engine() -> None:
    env = {**WITHOUT_ENGINE, "LAB": "0", "REQUIRE_ENGINE": "1"}
    chosen = ["tests/image/test_packages.py::test_empty_lists_run_no_apt", "-p", "no:cacheprovider"]
    done = run(sys.executable, "scripts/test.py", *chosen, cwd=ROOT, env=env, check=False)
    assert done.returncode == 1
    assert "no Docker engine answers" in done.stdout
    done = run(sys.executable, "scripts/test.py", *chosen, cwd=ROOT, env={**env, "REQUIRE_ENGINE": ""}, check=False)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_quick_tests_look_for_no_engine() -> None:
    options = ("-m", "quick", "--collect-only", "tests/template/test_runner.py", "-p", "no:cacheprovider")
    done = run(sys.executable, "scripts/test.py", *options, cwd=ROOT, env={**WITHOUT_ENGINE, "LAB": ""})
    assert "no Docker engine answers" not in done.stdout
