"""Render a template as cruft does; template.py runs this in a process of its own for each version.

    python render.py REQUEST FOLDER

REQUEST is a JSON file with `source` (the template's folder), `template` and `commit` (for .cruft.json) and `answers`.
The project is written to FOLDER, its answers in the form of .cruft.json to FOLDER/context.json. The user's settings
(~/.cookiecutterrc) are not read. If the template refuses the answers, the reason is on stderr; exit status 1.
"""

import json
import logging
import sys
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.generate import generate_context, generate_files
from cookiecutter.prompt import prompt_for_config
from jinja2 import TemplateError


def render(request: Path, folder: Path) -> None:
    """Render the template into `folder` as the file `request` says."""
    wanted = json.loads(request.read_text(encoding="utf-8"))
    context = generate_context(f"{wanted['source']}/cookiecutter.json", extra_context=wanted["answers"])
    context["cookiecutter"] = prompt_for_config(context, no_input=True)
    context["cookiecutter"] |= {"_template": wanted["template"], "_commit": wanted["commit"]}
    generate_files(wanted["source"], context, str(folder))
    text = json.dumps(context["cookiecutter"], ensure_ascii=False)
    (folder / "context.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    # Cookiecutter would log a refusal as a traceback as well.
    logging.disable()
    try:
        render(Path(sys.argv[1]), Path(sys.argv[2]))
    except (CookiecutterException, TemplateError, ValueError, OSError) as error:
        sys.exit(str(error))
