"""The promises of the READMEs, in both languages."""

import json
import re
from statistics import median

from benchmarks.report import TITLES, comparison, growth, text
from tests.helpers.combinations import ROOT


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
