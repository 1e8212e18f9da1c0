"""Delete what was not chosen, then check that the rest is consistent.

Runs in the new project with the standard library of cookiecutter's Python, without network, and prints nothing on
success. An error here is a bug in the template, except for a name that a dependency has.
"""

import json
import re
import shutil
import sys
from pathlib import Path

ANSWERS = json.loads({{cookiecutter | tojson | tojson}})  # type: ignore[arg-type, name-defined]  # noqa: F821
# {% raw %} From here on this is plain Python; answers come in as the data above and are never part of the code.

# A file or folder here is deleted unless one of its answers was chosen.
ONLY_FOR = {
    ".github": ("ci", {"github"}),
    ".gitlab": ("ci", {"gitlab"}),
    ".gitlab-ci.yml": ("ci", {"gitlab"}),
    "tools/pins/build-backends.txt": ("build_image", {"full"}),
}
# What templates/services.jinja says of every service type, as data.
SERVICES = Path(".services.json")
MIRROR_FILES = ("docker/pip.conf", "docker/debian.sources")


def chosen(variable: str, answers: set[str]) -> bool:
    """Tell whether one of `answers` was given for `variable`."""
    return ANSWERS[variable] in answers


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def delete_unchosen() -> None:
    """Delete every file that belongs to an answer that was not given."""
    for name, (variable, answers) in ONLY_FOR.items():
        if not chosen(variable, answers):
            delete(Path(name))
    services = json.loads(SERVICES.read_text(encoding="utf-8"))
    files = {name for declared in services.values() for name in declared["files"]}
    for name in files.difference(services[ANSWERS["service_type"]]["files"]):
        delete(Path(name.replace("PACKAGE", ANSWERS["package_name"])))
    delete(SERVICES)
    if chosen("mirror", {"none"}):
        for name in MIRROR_FILES:
            delete(Path(name))


def pythons() -> dict[str, str | None]:
    """Return the Python version in each file that should name one; None where it is missing."""
    patterns = {
        "Dockerfile": r"^ARG PYTHON_VERSION=(\S+)$",
        "pyproject.toml": r'^requires-python = ">=(\d+\.\d+),',
        "poetry.lock": r'^\[metadata\](?:\n.+)*\npython-versions = ">=(\d+\.\d+),',
        ".python-version": r"^(\d+\.\d+)$",
        ".gitlab-ci.yml": r"^ *image: .*python:(\d+\.\d+)-",
        ".gitlab/template-update.yml": r"^ *image: .*python:(\d+\.\d+)-",
    }
    found = {}
    for name, pattern in patterns.items():
        if Path(name).exists():
            match = re.search(pattern, Path(name).read_text(encoding="utf-8"), re.MULTILINE)
            found[name] = match[1] if match else None
    return found


def errors() -> list[str]:
    """Return a line for each inconsistency."""
    python = ANSWERS["python_version"]
    found = [f"{name} names Python {have}, not {python}" for name, have in pythons().items() if have != python]
    locked = set(re.findall(r'^name = "(.+)"$', Path("poetry.lock").read_text(encoding="utf-8"), re.MULTILINE))
    for variable in ("project_slug", "package_name"):
        if ANSWERS[variable].replace("_", "-") in locked:
            found.append(
                f"{variable} is {ANSWERS[variable]!r}; allowed: a name that no dependency has (see poetry.lock)"
            )
    wanted = not chosen("mirror", {"none"})
    found += [
        f"{name} is {'missing' if wanted else 'left over'}" for name in MIRROR_FILES if Path(name).exists() != wanted
    ]
    return found


def main() -> None:
    """Finish the project; end with status 1 if its parts do not fit together."""
    delete_unchosen()
    if found := errors():
        lines = "\n".join(f"  - {line}" for line in found)
        sys.exit(f"The project was not made, since its parts would not fit together:\n{lines}")


if __name__ == "__main__":
    # An answer may hold characters that the terminal's encoding lacks.
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    main()
# {% endraw %}
