"""Scaffold a service: `make new`, which calls `new.py FOLDER [name=value ...]`.

On a terminal it asks for every answer that is not given; otherwise it takes the defaults. It prints where the project
is and what to do next. Exit status 1, with one line that says why, if it can't be made; then nothing is written.
"""

import json
import re
import shlex
import sys
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException, OutputDirExistsException
from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
# Cookiecutter runs an answer with one of these as code, before the template can refuse it.
JINJA = re.compile(r"\{[{%#]")


def parse(arguments: list[str]) -> dict[str, str]:
    """Return the answers in `arguments`; end with status 1 on one that cookiecutter would ignore or fail on."""
    declared = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    names = [name for name in declared if not name.startswith("_")]
    answers: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in names:
            sys.exit(f"make new: {argument!r} is no answer; give name=value with one of: {', '.join(names)}")
        if isinstance(declared[name], list) and value not in declared[name]:
            sys.exit(f"make new: {name} is {value!r}; allowed: {', '.join(declared[name])}")
        if JINJA.search(value):
            sys.exit(
                f"make new: {name} is {value!r}; allowed: no {{{{, {{% or {{#, which cookiecutter would run as code"
            )
        answers[name] = value
    return answers


def main(folder: str, *arguments: str) -> None:
    """Scaffold a service into `folder` and print the next steps."""
    answers = parse(list(arguments))
    try:
        project = Path(
            cookiecutter(str(ROOT), no_input=not sys.stdin.isatty(), extra_context=answers, output_dir=folder)
        )
    except OutputDirExistsException as error:
        sys.exit(f"make new: {error}. Choose another name (ARGS=\"project_name='...'\") or folder (OUT=...).")
    except (CookiecutterException, OSError) as error:  # OSError: no file system has a folder of that name
        sys.exit(f"make new: {error}")
    print(f"\nYour service is in {project}. Next:\n")
    steps = {
        f"cd {shlex.quote(str(project))}": "",
        "make check": "# lint, types and tests, with the locked dependencies",
        "make up": "# build the image, start the service in a container",
    }
    for command, comment in steps.items():
        print(f"    {command:<16} {comment}".rstrip())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
