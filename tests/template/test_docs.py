"""What the pages say is there, is there; what `make docs` made is up to date."""

import json
import re
import tomllib
from urllib.parse import unquote

import pytest

from scripts import docs
from tests.helpers.combinations import ROOT
from tests.helpers.project import Bake, run

pytestmark = pytest.mark.quick

PAGES = [path for path in run("git", "ls-files", "*.md", cwd=ROOT).stdout.splitlines() if "{{" not in path]
# What is in the first column of a table of messages, and printed by other programs.
OF_OTHERS = {
    "port is already allocated",
    "exec format error",
    "AssertionError",
    "Unable to locate package ...",
    "No module named '....tests'",
    "libmagic.so.1",
    "Timeout",
    "*.rej",
    "env_file ... must be a string",
    "unknown flag: --watch",
    "looking up compose provider failed",
    "DEP001",
    "DEP003",
    "DEP004",
}


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_readme_is_one_page(page: str) -> None:
    assert len((ROOT / page).read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        name, _, heading = unquote(target).partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
            assert heading in [re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles], target


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_tree_of_the_readme_is_that_of_a_project(bake: Bake, page: str) -> None:
    project = bake()
    tree = re.findall(r"^example-service/\n(.+?)^```", (ROOT / page).read_text(), re.M | re.S)[0]
    *folders, last = re.findall(r"^[│ ]*[├└]── (?:│   [├└]── )?(.+?)(?:  |$)", tree, re.M)
    shown = {name.strip("/") for entry in (*folders, last) for name in entry.split(", ")} - {"CI"}
    there = {path.parts[0] for path in project.files() if not path.parts[0].startswith(".")}
    below_src = {path.parts[1] for path in project.files() if path.parts[0] == "src"}
    assert shown == (there | below_src) - {"README.md", "LICENSE"}


@pytest.mark.parametrize("page", ["docs/troubleshooting.md", "docs/troubleshooting.ko.md"])
def test_messages_are_those_that_programs_print(page: str) -> None:
    sources = run("git", "ls-files", "--", docs.TEMPLATE.name, "hooks", "updater", cwd=ROOT).stdout.splitlines()
    code = "\n".join((ROOT / name).read_text() for name in sources)
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # one message in several strings
    cells = re.findall(r"^\| (.+?) \|", (ROOT / page).read_text(), re.M)
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell) if message not in OF_OTHERS]
    assert len(messages) > 15
    for message in messages:
        if not message.startswith(("make ", "cruft ")):
            for part in re.split(r"\.\.\.|[();]|\w+: ", message):
                assert part.strip() in code, f"{page}: nothing prints {message!r}"


def test_example_is_a_fresh_render() -> None:
    for path, text in docs.example().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)}: run `make docs`"


def test_contract_of_the_example_has_every_point_and_all_hold() -> None:
    suite = "".join(path.read_text() for path in sorted((docs.TEMPLATE / "tools/contract").glob("test_*.py")))
    points = re.findall(r'^@point\(\s*"([^"]+)"(.*?)\)\ndef ', suite, re.M | re.S)
    promised = {name for name, rest in points if 'only="jobs"' not in rest}
    *rows, count = (docs.EXAMPLE / "contract.txt").read_text().splitlines()
    assert {row[11:61].strip() for row in rows} == promised, "run `make docs`"
    assert count == f"{docs.SLUG}: {len(promised)} of {len(promised)} points hold"


def test_bill_of_materials_of_the_example_is_that_of_the_lock(bake: Bake) -> None:
    bill = json.loads((docs.EXAMPLE / "sbom.json").read_text())
    assert bill["metadata"]["component"]["name"] == docs.SLUG
    *parts, _ = bill["components"]
    assert [part["name"] for part in parts] == list(docs.PARTS)
    locked = tomllib.loads(bake().read("poetry.lock"))["package"]
    versions = {package["name"]: package["version"] for package in locked}
    assert parts[0]["version"] == versions[parts[0]["name"]], "run `make docs`"


def test_pages_with_other_figures_than_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        docs.with_figures("| cold build | 1.00 s |\n| code change | 2.00 s |\n", [["cold build", "3.00 s"]])


def test_figures_and_choices_are_filled_in() -> None:
    page = "| 코드 변경 | 1.00 s | 2.0 MB |\nelse\n| `mirror` | `old` | where |\n"
    filled = docs.with_choices(docs.with_figures(page, [["code change", "3.00 s", "4.0 MB"]]))
    assert filled == "| 코드 변경 | 3.00 s | 4.0 MB |\nelse\n| `mirror` | `kakao`, `none` | where |\n"
