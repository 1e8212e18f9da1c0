"""One place per choice: what offering one more value takes, and that nothing else would have to change."""

import datetime
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.helpers.combinations import CHOICES, DECLARED, IMAGES, MUST_WORK, ROOT
from tests.helpers.project import run

pytestmark = pytest.mark.quick

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


def tracked() -> list[str]:
    """Return the files that make a project, without what `make locks` writes."""
    places = (TEMPLATE.name, "hooks", "scripts", "templates/*.jinja", "Makefile")
    listed = run("git", "ls-files", "--", *places, cwd=ROOT).stdout.splitlines()
    found = [file for file in listed if not file.endswith((".txt", ".lock"))]
    assert len(found) > 30
    return found


# Files of one answer name it. A Python version and a mirror have no such files: to offer one more must not mean that a
# second file has to change.
@pytest.mark.parametrize("name", ["python_version", "mirror"])
def test_nothing_else_would_have_to_change(name: str) -> None:
    words = [re.escape(value) for value in CHOICES[name] if value != "none"]
    pattern = re.compile(rf"(?<![\d.])({'|'.join(words)})(?![\d.])")
    for file in tracked():
        if file == "templates/mirrors.jinja":
            continue  # where a mirror is declared
        for number, line in enumerate(read(file).splitlines(), 1):
            # What Python the build tools need is not what the service runs on.
            if found := pattern.search(line.replace("3.11 or newer", "").replace("(3, 11)", "")):
                pytest.fail(
                    f"{file}:{number} names {found[0]!r}: it would have to change with {name}\n    {line.strip()}"
                )


def services() -> dict[str, Any]:
    """Return what templates/services.jinja says of every service type."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT / "templates"), autoescape=True)
    answers = {"cookiecutter": {"service_type": CHOICES["service_type"][0]}}
    found: dict[str, Any] = environment.get_template("services.jinja").make_module(answers).services  # type: ignore[attr-defined]
    return found


def test_every_service_type_is_declared_in_full() -> None:
    assert services().keys() == set(CHOICES["service_type"]), "templates/services.jinja"
    for name, declared in services().items():
        assert declared.keys() == services()[CHOICES["service_type"][0]].keys(), f"templates/services.jinja: {name}"
        for file in declared["files"]:
            path = TEMPLATE / file.replace("PACKAGE", "{{cookiecutter.package_name}}")
            assert path.exists(), f"templates/services.jinja: {name} has no {file}"


def test_a_service_type_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    """All is there for one more, except its entry in templates/services.jinja."""
    copy = tmp_path / "template"
    for name in ("hooks", "templates", TEMPLATE.name):
        shutil.copytree(ROOT / name, copy / name)
    declared = json.loads(read("cookiecutter.json"))
    declared["service_type"].append("consumer")
    declared["__prompts__"]["service_type"]["consumer"] = "consumer: reads a queue"
    (copy / "cookiecutter.json").write_text(json.dumps(declared))
    for lock in (copy / "templates/locks").glob(f"*-{CHOICES['service_type'][0]}.lock"):
        shutil.copy(lock, lock.with_name(lock.name.replace(CHOICES["service_type"][0], "consumer")))
    out = tmp_path / "out"
    done = run("cookiecutter", "--no-input", copy, "-o", out, "service_type=consumer", check=False)
    assert done.returncode != 0
    assert "has no attribute 'consumer'" in done.stdout
    assert not list(out.iterdir())


def test_nothing_but_its_declaration_tells_service_types_apart() -> None:
    own = {file.replace("PACKAGE", "{{cookiecutter.package_name}}") for d in services().values() for file in d["files"]}
    for file in tracked():
        if file.removeprefix(f"{TEMPLATE.name}/") in own or file == "templates/services.jinja":
            continue
        types = "|".join(services())
        # In Python a word in quotes is the value of a choice; elsewhere any word may be compared.
        pattern = rf"[\"']({types})[\"']" if file.endswith(".py") else rf"(?<![\w-])({types})(?![\w-])"
        for number, line in enumerate(read(file).splitlines(), 1):
            if found := re.search(pattern, line):
                pytest.fail(
                    f"{file}:{number} names the service type {found[1]!r}: what sets it apart belongs in"
                    f" templates/services.jinja\n    {line.strip()}"
                )


def test_combinations_cover_every_pair_of_values() -> None:
    missing = []
    for one, other in itertools.combinations(CHOICES, 2):
        have = {(answers[one], answers[other]) for answers in MUST_WORK}
        wanted = itertools.product(CHOICES[one], CHOICES[other])
        missing += [f"{one}={pair[0]} with {other}={pair[1]}" for pair in wanted if pair not in have]
    assert not missing, "tests/helpers/combinations.py: no row of MUST_WORK has\n    " + "\n    ".join(missing)


def test_images_cover_every_python_and_service_type() -> None:
    have = {(answers["python_version"], answers["service_type"]) for answers in IMAGES}
    assert have == {(v, s) for v in CHOICES["python_version"] for s in CHOICES["service_type"]}
    for one, other in itertools.combinations(("service_type", "mirror", "build_image"), 2):
        wanted = set(itertools.product(CHOICES[one], CHOICES[other]))
        assert wanted == {(answers[one], answers[other]) for answers in IMAGES}, f"IMAGES: {one} x {other}"


def test_first_combination_is_the_default() -> None:
    assert MUST_WORK[0] == {name: offered[0] for name, offered in CHOICES.items()}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
