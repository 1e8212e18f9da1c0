"""Refuse answers that can't become a working project: all of them at once, before any file is written.

Runs with the standard library of cookiecutter's Python, without network, and prints nothing on success. Errors go to
stderr, with what was given, what is allowed and how to continue; exit status 1 makes cookiecutter stop.
"""

import json
import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ANSWERS = json.loads({{cookiecutter | tojson | tojson}})  # type: ignore[arg-type, name-defined]  # noqa: F821
# {% raw %} From here on this is plain Python; answers come in as the data above and are never part of the code.

# PEP 508 names in their normal form (PEP 503), and short enough for a DNS label, hence for Kubernetes (RFC 1123).
SLUG = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,62}")
PACKAGE = re.compile(r"[a-z][a-z0-9_]{0,62}")
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
EMAIL = re.compile(rf"[A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*@{LABEL}(?:\.{LABEL})+")
# Control characters, lone surrogates and the line separators of Unicode end a line or a string in TOML, YAML or Python.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# cookiecutter and cruft render every answer again: these would be run as Jinja code.
JINJA = re.compile(r"\{[{%#]")
TEXT_LENGTH = 200
# Names of parts of a project, and names that have a meaning for Python or pytest.
TAKEN = frozenset({"src", "docker", "deploy", "tools", "tests", "test", "conftest", "service_runtime"})
# YAML reads these as a boolean or null, where compose.yaml and Kubernetes need a name.
YAML_WORDS = frozenset({"y", "yes", "n", "no", "on", "off", "true", "false", "null"})
# Modules whose package in poetry.lock, where post_gen looks, has another name; and new modules of the standard library,
# which an older Python that runs this does not know.
MODULES = frozenset({"dotenv", "mypyc", "opentelemetry", "py", "pythonjsonlogger"})
MODULES |= {"boolean", "cyclonedx", "markdown_it", "packageurl", "packaging_legacy_version", "requirements", "xdist"}
MODULES |= {"annotationlib", "compression", "profiling"}


def text_error(value: object) -> str | None:
    """Return what is wrong with a line of free text, or None."""
    if not isinstance(value, str) or not value.strip():
        return "some text is needed"
    if value != value.strip():
        return "no space at the beginning or the end"
    if len(value) > TEXT_LENGTH:
        return f"at most {TEXT_LENGTH} characters"
    if UNPRINTABLE.search(value):
        return "one line of printable characters"
    if JINJA.search(value):
        return "no {{, {% or {#, which would be run as template code"
    return None


def description_error(value: object) -> str | None:
    """Return what is wrong with the description, or None."""
    if isinstance(value, str) and (value.endswith("\\") or '\\"' in value):
        return "no backslash at the end or before a quotation mark, which hadolint misreads in the image's label"
    return text_error(value)


def author_error(value: object) -> str | None:
    """Return what is wrong with the author's name, or None."""
    if isinstance(value, str) and ("<" in value or ">" in value):
        return "no < or >, which in a package's metadata enclose the address"
    return text_error(value)


def slug_error(value: object) -> str | None:
    """Return what is wrong with the project's slug, or None."""
    if isinstance(value, str) and value.replace("-", "_") in TAKEN:
        return (
            f"a name that the project does not use for a part of itself ({', '.join(sorted(TAKEN))}); e.g. my-service"
        )
    if isinstance(value, str) and value in YAML_WORDS:
        return "a name that YAML does not take for something else; e.g. my-service"
    if isinstance(value, str) and SLUG.fullmatch(value):
        return None
    return "lower-case letters, digits, single hyphens between them, a letter first, at most 63; e.g. my-service"


def package_error(value: object) -> str | None:
    """Return what is wrong with the name of the Python package, or None."""
    if not isinstance(value, str) or not PACKAGE.fullmatch(value) or keyword.iskeyword(value):
        return "a Python identifier in lower case, 63 characters at most, no keyword; e.g. my_service"
    if value in sys.stdlib_module_names or value in TAKEN or value in MODULES:
        return (
            "a name that is not taken by a module of Python's own or of a dependency, or a folder of the project;"
            " e.g. my_service"
        )
    return None


def email_error(value: object) -> str | None:
    """Return what is wrong with an e-mail address, or None."""
    if isinstance(value, str) and EMAIL.fullmatch(value):
        return None
    return "an address such as team@example.com"


CHECKS = {
    "project_name": text_error,
    "project_slug": slug_error,
    "package_name": package_error,
    "description": description_error,
    "author_name": author_error,
    "author_email": email_error,
}


def choices(answers: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the variables of cookiecutter.json that offer choices, with their choices.

    cookiecutter checks choices itself, except those from a replay file. Under cruft, which replays nothing, the folder
    of the template is not known.
    """
    path = Path(str(answers.get("_repo_dir", ""))) / "cookiecutter.json"
    if "_repo_dir" not in answers or not path.is_file():
        return {}
    declared = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in declared.items() if isinstance(value, list) and not name.startswith("_")}


def errors(answers: Mapping[str, object]) -> list[str]:
    """Return a line for every answer that can't be used: its name, what was given, what is allowed."""
    found = []
    for name, check in CHECKS.items():
        if wanted := check(answers.get(name)):
            found.append(f"{name} is {answers.get(name)!r}; allowed: {wanted}")
    for name, offered in choices(answers).items():
        if answers.get(name) not in offered:
            found.append(f"{name} is {answers.get(name)!r}; allowed: {', '.join(offered)}")
    return found


def advice(answers: Mapping[str, object], wrong: str) -> str:
    """Return how to continue after the answer `wrong` was refused, with cookiecutter or with cruft."""
    if "_repo_dir" not in answers:  # cruft
        return (
            f'To go on, give the corrected answers, all in one, such as \'{{"{wrong}": "..."}}\', to\n'
            "make update VARS=, cruft create --extra-context or cruft update --variables-to-update"
        )
    template = answers.get("_template", "<template>")
    name = Path(str(answers["_repo_dir"])).name
    return (
        "To go on without answering again, correct your answers in\n"
        f"    ~/.cookiecutter_replay/{name}.json\n"
        f"and run\n    cookiecutter --replay {template}"
    )


def main() -> None:
    """Check the answers; end with status 1 when one can't be used."""
    if found := errors(ANSWERS):
        lines = "\n".join(f"  - {line}" for line in found)
        count = "1 answer" if len(found) == 1 else f"{len(found)} answers"
        sys.exit(f"Nothing was written: {count} can't be used.\n{lines}\n{advice(ANSWERS, found[0].split()[0])}")


if __name__ == "__main__":
    # An answer may hold characters that the terminal's encoding lacks.
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    main()
# {% endraw %}
