"""The locks of this repository's own tools."""

import pytest

from scripts.locks import POETRY
from tests.helpers.combinations import ROOT
from tests.helpers.project import run

pytestmark = pytest.mark.quick


def test_locks_of_our_own_tools_are_in_step() -> None:
    run("poetry", "check", "--lock", "--strict", cwd=ROOT)
    for name, options in {"new": ["--only", "main"], "dev": ["--all-groups"]}.items():
        exported = run(*POETRY, "export", *options, cwd=ROOT).stdout
        assert (ROOT / f"requirements/{name}.txt").read_text() == exported, f"requirements/{name}.txt: run `make locks`"
