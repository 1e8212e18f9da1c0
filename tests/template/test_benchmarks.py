"""What was measured is what the pages show."""

import json
import re
from statistics import median

import pytest

from benchmarks.report import TABLES, comparison
from tests.helpers.combinations import ROOT

pytestmark = pytest.mark.quick

FOUND = json.loads((ROOT / "benchmarks/results/bench.json").read_text())


def figures(markdown: str) -> list[list[str]]:
    """Return the cells of all table lines that hold figures."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    return [cells for cells in lines if any(re.fullmatch(r"[\d.]+ (s|kB|MB)", cell) for cell in cells)]


def shown(page: str) -> list[list[str]]:
    """Return the cells of all lines with figures in a page."""
    return figures((ROOT / page).read_text())


def is_shown(row: list[str], measured: list[list[str]]) -> bool:
    """Return whether a page's row is one that was measured; it may leave out the last columns."""
    return any(cells[: len(row)] == row for cells in measured)


def test_pages_show_what_was_measured() -> None:
    measured = figures(comparison(FOUND["recipes"]))
    measured += [row for part, draw in TABLES.items() for row in figures(draw(FOUND[part]))]
    for page in ("README.md", "docs/benchmarks.md"):
        assert [row for row in shown(page) if not is_shown(row, measured)] == [], page
        assert len(shown(page)) >= 5, page
    named = [row[0] for row in shown("docs/benchmarks.md")]
    assert named == [row[0] for row in measured if not row[0].startswith("fetched")]


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_both_languages_show_the_same_figures(page: str) -> None:
    korean = shown(page.replace(".md", ".ko.md"))
    assert [cells[1:] for cells in korean] == [cells[1:] for cells in shown(page)]


@pytest.mark.parametrize("page", ["docs/benchmarks.md", "docs/benchmarks.ko.md"])
def test_prose_gives_the_figures_that_no_table_has(page: str) -> None:
    assert f" {median(FOUND['render']['seconds']) * 1000:.0f} ms" in (ROOT / page).read_text()


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_readme_gives_the_time_to_the_first_image_in_a_registry(page: str) -> None:
    commands = {"image", "check-image", "sbom", "push"}
    seconds = sum(median(of["seconds"]) for name, of in FOUND["pipeline"]["first"].items() if name in commands)
    assert re.search(rf" {seconds:.0f}( s|초) ", (ROOT / page).read_text())
