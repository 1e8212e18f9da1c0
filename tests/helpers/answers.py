"""Answers as hypothesis generates them, and rendering in this process, fast enough for thousands of sets.

Cookiecutter does all it does otherwise; only its hooks run in this process, and Jinja keeps what it has compiled.
"""

import contextlib
import json
import logging
import os
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jinja2
from cookiecutter import hooks
from cookiecutter.exceptions import CookiecutterException, FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import strategies as st
from jinja2.bccache import Bucket

from scripts.new import parse
from tests.helpers.combinations import CHOICES, PRIVATE, ROOT

# What would leave a file where $CANARY says, if anything took it for code. None of it is wrong in free text.
CANARIES = [
    "$(touch $CANARY)",
    "`touch $CANARY`",
    "$(shell touch $CANARY)",
    "; touch $CANARY;",
    "' || touch $CANARY #",
    '"; import os; os.system("touch $CANARY"); "',
    "'''; __import__('os').system('touch $CANARY'); '''",
    '!!python/object/apply:os.system ["touch $CANARY"]',
    '" \\ && touch $CANARY',
]
# The same for Jinja, which cookiecutter runs in an answer on its command line, before any code of ours.
JINJA_CANARIES = [
    "{{ cycler.__init__.__globals__.os.system('touch $CANARY') }}",
    "{% set x = cycler.__init__.__globals__.os.system('touch $CANARY') %}x",
    "{# a comment",
]
# All of them at once.
BAIT = {
    "project_name": " ".join(CANARIES[:4]),
    "description": " ".join(CANARIES[4:7]),
    "author_name": " ".join(CANARIES[7:]),
}
# What a format, a shell or a tool takes for more than text.
SPECIALS = [
    *("no", "1e3", "null", "~", ": #", "a: b", " #", "- a", "? ", "%YAML", "&a", "*a", "!x", "[x]", "{x}", "|", ">"),
    *('"', "'", "\\", '\\"', '"""', "'''", "\\u0041", "\\N{BULLET}", "$", "$$", "${HOME}", "$HOME", "%s", "%(x)s"),
    *("${{ x }}".replace("{{", "{"), "<b>", "&amp;", "<!--", "```", "](x)", "-rf", "--help", "@all", "a, b", "=", ";"),
    *("שלום", "مرحبا", "\u200f", "\u202eabc", "한글", "é", "e\u0301", "😀", "\u00a0x", "\ufeffx", "\ufffe"),
]
# What no answer may hold or be.
WRONG = [
    *("", " ", "\n", "a\nb", "\r", "\t", "\0", "a\0b", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ud800", "x" * 201),
    *("x" * 300, "\nRUN touch $CANARY", "\n  evil: true", '"\n[tool.evil]\nx = "', *JINJA_CANARIES),
]
# Names that are taken or are no names.
NAMES = [
    *("no", "null", "true", "on", "y", "tests", "src", "tools", "class", "match", "json", "site", "main", "con", "nul"),
    *("fastapi", "pydantic", "dotenv", "service-runtime", "service_runtime", "compression"),
    *(".", "..", "../x", "a/b", "a/../b", "x/", "a\\b", "-rf", "--help", "a--b", "1e3", "é", "A", "a.b", "a b", "__x"),
]

pieces = st.sampled_from(SPECIALS + CANARIES)
words = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
free_text = st.lists(st.one_of(pieces, words), min_size=1, max_size=4).map("".join)
wild_text = st.one_of(st.sampled_from(WRONG), st.text(max_size=20), st.lists(pieces, min_size=8).map("".join))
slug = st.from_regex(r"[a-z](-?[a-z0-9]){0,12}", fullmatch=True)
package = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
email = st.from_regex(r"[A-Za-z0-9._%+-]{1,8}@[A-Za-z0-9-]{1,8}\.[a-z-]{1,8}", fullmatch=True)
# An absolute path of several parts would leave the folders above it outside the test's own.
name = st.one_of(st.sampled_from(NAMES), wild_text).filter(lambda text: not text.startswith("/"))
other_type = st.sampled_from([None, True, 5, 1e3, [], ["x"], {"x": "y"}])

GOOD: dict[str, st.SearchStrategy[Any]] = {
    "project_name": free_text,
    "project_slug": slug,
    "package_name": package,
    "description": free_text,
    "author_name": free_text,
    "author_email": email,
    **{name: st.sampled_from(offered) for name, offered in CHOICES.items()},
}
WILD: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(GOOD, st.one_of(st.sampled_from(NAMES), wild_text)),
    "project_slug": name,
    "package_name": name,
}


@st.composite
def sets_of_answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a whole set: most answers may well be right, up to two are wild."""
    answers = {name: draw(strategy) for name, strategy in GOOD.items()}
    for variable in draw(st.lists(st.sampled_from(list(GOOD)), max_size=2)):
        answers[variable] = draw(WILD[variable])
    return answers


@st.composite
def recorded_answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a file of answers may hold: as above, and answers that are no text."""
    answers = draw(sets_of_answers())
    for variable in draw(st.lists(st.sampled_from(list(GOOD)), max_size=1)):
        answers[variable] = draw(st.one_of(WILD[variable], other_type))
    return answers


class Memory(jinja2.BytecodeCache):
    """Keeps what Jinja has compiled."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket, if there is something for it."""
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what a bucket holds."""
        self.kept[bucket.key] = bucket.bytecode_to_string()


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Let cookiecutter run hooks in this process, and Jinja keep what it compiles."""
    begin, memory = jinja2.Environment.__init__, Memory()

    def with_cache(self: jinja2.Environment, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        self.bytecode_cache = memory

    def run_script(path: str, cwd: str) -> None:
        with contextlib.chdir(cwd):
            try:
                runpy.run_path(path, run_name="__main__")
            except SystemExit as end:
                if end.code:
                    raise FailedHookException(str(end.code)) from None
        Path(path).unlink()

    logging.disable()  # cookiecutter would print the traceback of each refusal
    with (
        mock.patch.object(jinja2.Environment, "__init__", with_cache),
        mock.patch.object(hooks, "run_script", run_script),
    ):
        yield
    logging.disable(logging.NOTSET)


def given(answers: Mapping[str, Any], folder: Path) -> Path | str:
    """Render as `make new ARGS=...` does, into `folder`; return the project, or why the answers were refused."""
    try:
        parsed = parse([f"{name}={value}" for name, value in answers.items()])
        return Path(cookiecutter(str(ROOT), no_input=True, extra_context=parsed, output_dir=str(folder)))
    except (CookiecutterException, SystemExit) as refusal:
        return str(refusal)
    except (OSError, ValueError) as error:  # of the system: it has no folder of that name
        assert not is_folder_name(answers["project_slug"]), answers
        return str(error)


def replayed(answers: Mapping[str, Any], folder: Path) -> Path | str:
    """Render as `cookiecutter --replay-file` does, into `folder`; return as `given` does."""
    file = folder.with_name("replay.json")
    file.write_text(json.dumps({"cookiecutter": {**PRIVATE, **answers}}))
    try:
        return Path(cookiecutter(str(ROOT), replay=str(file), output_dir=str(folder)))
    except (CookiecutterException, SystemExit) as refusal:
        return str(refusal)
    except (OSError, ValueError) as error:
        assert not is_folder_name(answers["project_slug"]), answers
        return str(error)


def is_folder_name(text: object) -> bool:
    """Tell whether the system can have a folder of that name."""
    try:
        return isinstance(text, str) and "\0" not in text and len(os.fsencode(text)) < 256
    except UnicodeEncodeError:
        return False
