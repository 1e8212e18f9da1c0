"""The terminal that `make docs` records."""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts import terminal
from scripts.terminal import FailedError, Step

pytestmark = pytest.mark.quick

ENV = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
SVG = "{http://www.w3.org/2000/svg}"


def test_questions_are_answered_in_their_order(tmp_path: Path) -> None:
    shown = terminal.run('read -p "Name: " a; read -p "Kind (1): " b; echo "<$a|$b>"', ["Ada", ""], tmp_path, ENV)
    assert shown == "Name: Ada\nKind (1): \n<Ada|>\n"


def test_commands_run_on_a_terminal_of_a_known_width(tmp_path: Path) -> None:
    assert terminal.run("test -t 1 && stty size", [], tmp_path, ENV) == f"{terminal.ROWS} {terminal.COLUMNS}\n"


def test_a_command_that_fails_is_told_with_what_it_showed(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="ended with 3:\nno room"):
        terminal.run("echo no room; exit 3", [], tmp_path, ENV)


def test_lines_that_are_left_out_are_counted(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    lines = terminal.record(Step("seq 9", "service", first=2, last=1), tmp_path, ENV)
    assert list(map(terminal.plain, lines)) == ["service $ seq 9", "1", "2", "... 6 lines more", "9"]


def test_picture_shows_text_as_it_is_and_knows_styles() -> None:
    picture = ET.fromstring(terminal.draw(["a  <b> & \x1b[1;32mgreen\x1b[0m", "10 %\r100 %", ""], "What it shows"))
    lines = picture.findall(f"{SVG}text")
    assert ["".join(line.itertext()) for line in lines] == ["a  <b> & green", "100 %"]
    assert [(span.get("class"), span.text) for span in picture.iter(f"{SVG}tspan")] == [("bold green", "green")]
    assert picture.findtext(f"{SVG}title") == "What it shows"
