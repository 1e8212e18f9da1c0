"""What kind of file something is: libmagic looks at how it begins."""

import json
from importlib.resources import files

import magic

KINDS: dict[str, str] = json.loads(files(__package__).joinpath("kinds.json").read_text(encoding="utf-8"))


def kind_of(beginning: bytes) -> str:
    """Return the kind of a file that begins so."""
    return KINDS.get(magic.from_buffer(beginning, mime=True), "unknown")
