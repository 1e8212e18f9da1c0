"""Render a template as cruft does; update.py runs this once for each version, so that they can't mix.

    python render.py REQUEST FOLDER

REQUEST is a JSON file: `source` (folder of the template), `template` and `commit` (what .cruft.json records) and
`answers`. The project appears in FOLDER, and FOLDER/context.json holds its answers as .cruft.json keeps them. The
settings of whoever runs this (~/.cookiecutterrc) play no part. When the template refuses, its reason goes to stderr;
exit status 1.
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
    """Render what the file `request` asks for into `folder`."""
    wanted = json.loads(request.read_text(encoding="utf-8"))
    context = generate_context(f"{wanted['source']}/cookiecutter.json", extra_context=wanted["answers"])
    context["cookiecutter"] = prompt_for_config(context, no_input=True)
    context["cookiecutter"] |= {"_template": wanted["template"], "_commit": wanted["commit"]}
    generate_files(wanted["source"], context, str(folder))
    text = json.dumps(context["cookiecutter"], ensure_ascii=False)
    (folder / "context.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    # It would tell of a refusal a second time, as a traceback.
    logging.disable()
    try:
        render(Path(sys.argv[1]), Path(sys.argv[2]))
    except (CookiecutterException, TemplateError, ValueError, OSError) as error:
        sys.exit(str(error))
