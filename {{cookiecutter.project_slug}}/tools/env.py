"""Run a command with the settings in .env; those in the environment count more: `python tools/env.py COMMAND ...`.

A line means what it means to Compose. One that can't be read ends this with status 1, and is named.
"""

import os
import re
import sys
from pathlib import Path
from string import Template

QUOTED = r"""'((?:\\.|[^'\\])*)'[ \t]*(?:#.*)?|"((?:\\.|[^"\\])*)"[ \t]*(?:#.*)?"""
LINE = re.compile(rf"[ \t]*(?:(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(?:{QUOTED}|((?!['\"]).*))|#.*)?\n")
ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\\": "\\", r"\"": '"', r"\$": "$$"}
FORMS = r"""NAME=value, NAME='as it stands' or NAME="with \n"; $$ is a $"""


def read(text: str) -> dict[str, str]:
    """Return the settings in the text of a file; end with status 1 at a line that can't be read."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        try:
            entry = LINE.match(text, at)
            name, raw, quoted, plain = entry.groups("")  # type: ignore[union-attr]
            quoted = re.sub(r'\\[nrt"\\$]', lambda escape: ESCAPES[escape[0]], quoted)
            value = Template(quoted or plain.partition(" #")[0].rstrip()).substitute(found | os.environ)
        except (AttributeError, KeyError, ValueError):
            sys.exit(f".env, line {text.count(chr(10), 0, at) + 1} can't be read; allowed: {FORMS}")
        found |= {name: raw.replace(r"\'", "'") or value} if name else {}
        at = entry.end()  # type: ignore[union-attr]
    return found


if __name__ == "__main__":
    file = Path(".env")
    settings = read(f"{file.read_text('utf-8-sig', 'surrogateescape')}\n") if file.exists() else {}
    os.execvpe(sys.argv[1], sys.argv[1:], settings | os.environ)  # noqa: S606
