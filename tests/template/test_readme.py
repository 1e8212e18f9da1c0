"""The pages that people read, in both languages."""

import re

import pytest

from tests.helpers.combinations import CHOICES, ROOT

pytestmark = pytest.mark.quick

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if ".ko." not in path.name)]
CODE = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)


def parts(text: str) -> dict[str, list[str]]:
    """Return what must be the same in both languages."""
    commands = [block for block in CODE.findall(text) if "make " in block or "docker " in block]
    return {
        "headings": re.findall(r"^(#+) ", CODE.sub("", text), re.M),
        # Commands are equal word by word except for their comments; pictures may be explained in each language.
        "commands": [re.sub(r" +#.*", "", block) for block in commands],
        "first cells of tables": re.findall(r"^\| `([^`]+)` \|", text, re.M),
    }


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_parts(page: str) -> None:
    english, korean = ((ROOT / name).read_text() for name in (page, page.replace(".md", ".ko.md")))
    assert parts(english) == parts(korean)


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_readme_names_every_choice(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    for name, offered in CHOICES.items():
        table_row = next((line for line in lines if line.startswith(f"| `{name}` ")), "")
        missing = [value for value in offered if f"`{value}`" not in table_row]
        assert not missing, f"{page}: the row of `{name}` does not name {missing}"


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "{{cookiecutter.project_slug}}/README.md"])
def test_windows_is_told_where_to_work(page: str) -> None:
    """Not all packages have wheels for it: uvloop, for one."""
    assert re.search(r"Windows.*WSL 2", (ROOT / page).read_text())
