"""One place per choice: what offering one more value takes, and that nothing else would have to change."""

import datetime
import itertools
import re

import pytest

from tests.helpers.combinations import CHOICES, DECLARED, MUST_WORK, ROOT
from tests.helpers.project import run

TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
PROMPTS = DECLARED["__prompts__"]


def test_variables_are_those_of_the_contract_in_its_order() -> None:
    contract = (
        "project_name project_slug package_name description author_name author_email "
        "python_version service_type mirror build_image ci license"
    )
    assert [name for name in DECLARED if not name.startswith("_")] == contract.split()


def test_every_variable_has_a_prompt_and_every_choice_a_label() -> None:
    assert PROMPTS.keys() == {name for name in DECLARED if not name.startswith("_")}
    for name, offered in CHOICES.items():
        assert PROMPTS[name].keys() == {"__prompt__", *offered}, f"cookiecutter.json: __prompts__.{name}"


def test_every_mirror_has_its_addresses() -> None:
    entries = re.findall(
        r'^  "(\w+)": \{"pypi": "https://.+", "debian": "https://.+"\},$',
        read("templates/mirrors.jinja"),
        re.M,
    )
    assert sorted(entries) == sorted(set(CHOICES["mirror"]) - {"none"}), "templates/mirrors.jinja"


def test_every_python_and_service_type_has_its_lock() -> None:
    wanted = {f"{v}-{s}.lock" for v in CHOICES["python_version"] for s in CHOICES["service_type"]}
    assert {path.name for path in (ROOT / "templates/locks").iterdir()} == wanted, "templates/locks: run `make locks`"


def test_every_licence_has_its_text() -> None:
    wanted = {f"{name}.txt" for name in CHOICES["license"]}
    assert {path.name for path in (ROOT / "templates/licenses").iterdir()} == wanted, "templates/licenses"


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_offered_python_still_gets_security_fixes(version: str) -> None:
    label = PROMPTS["python_version"][version]
    until = re.search(r"security fixes until (\d{4})-(\d{2})", label)
    assert until, f"cookiecutter.json: the label of Python {version} does not say until when it gets security fixes"
    # A release ends with the last day of the month that Python's release calendar gives.
    end = datetime.date(int(until[1]) + int(until[2]) // 12, int(until[2]) % 12 + 1, 1)
    assert datetime.date.today() < end, (
        f"Python {version} has reached its end of life: take it out of cookiecutter.json"
    )


# Files of one answer name it. A Python version and a mirror have no such files: to offer one more must not mean that a
# second file has to change.
@pytest.mark.parametrize("name", ["python_version", "mirror"])
def test_nothing_else_would_have_to_change(name: str) -> None:
    words = [re.escape(value) for value in CHOICES[name] if value != "none"]
    pattern = re.compile(rf"(?<![\d.])({'|'.join(words)})(?![\d.])")
    files = run("git", "ls-files", "--", TEMPLATE.name, "hooks", "scripts", "Makefile", cwd=ROOT).stdout.splitlines()
    assert files
    for file in files:
        if file.endswith((".txt", ".lock")):
            continue  # made by `make locks`
        for number, line in enumerate(read(file).splitlines(), 1):
            # What Python the build tools need is not what the service runs on.
            if found := pattern.search(line.replace("3.11 or newer", "").replace("(3, 11)", "")):
                pytest.fail(
                    f"{file}:{number} names {found[0]!r}: it would have to change with {name}\n    {line.strip()}"
                )


@pytest.mark.parametrize("file", ["README.md", "README.ko.md"])
def test_readme_names_every_choice(file: str) -> None:
    for name, offered in CHOICES.items():
        table_row = next((line for line in read(file).splitlines() if line.startswith(f"| `{name}` ")), "")
        missing = [value for value in offered if f"`{value}`" not in table_row]
        assert not missing, f"{file}: the row of `{name}` does not name {missing}"


def test_combinations_cover_every_pair_of_values() -> None:
    for one, other in itertools.combinations(CHOICES, 2):
        wanted = set(itertools.product(CHOICES[one], CHOICES[other]))
        missing = wanted - {(answers[one], answers[other]) for answers in MUST_WORK}
        assert not missing, f"tests/helpers/combinations.py: no row of MUST_WORK has {one} x {other} = {missing}"


def test_first_combination_is_the_default() -> None:
    assert MUST_WORK[0] == {name: offered[0] for name, offered in CHOICES.items()}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
