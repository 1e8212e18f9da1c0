"""A terminal: run commands on one, and draw what it showed as an SVG picture."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

COLUMNS, ROWS = 126, 50
CHARACTER, LINE, MARGIN, BAR = 7.8, 17, 16, 30  # pixels; BAR is the frame's upper edge
# How a terminal is told to change the style (SGR), and everything else that it is told.
STYLED = re.compile(r"\x1b\[([\d;]*)m")
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-ln-z]|\x1b\][^\a]*\a|[\x00-\x08\x0b-\x1a]")
CLASSES = {1: "bold", 2: "dim", 31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "magenta", 36: "cyan", 90: "dim"}
# One look in light and in dark pages: a terminal is dark in both.
STYLE = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d0d7de }
.bold { font-weight: 600 } .dim { fill: #8b949e }
.red { fill: #ff7b72 } .green { fill: #7ee787 } .yellow { fill: #e3b341 }
.blue { fill: #79c0ff } .magenta { fill: #d2a8ff } .cyan { fill: #76e3ea }
rect { fill: #0d1117; stroke: #57606a } circle { fill: #57606a }
"""


class Step(NamedTuple):
    """A command, its folder, its answers, and how many lines of its output to keep from the start and the end."""

    command: str
    folder: str = ""
    answers: tuple[str, ...] = ()
    first: int = ROWS
    last: int = 0


class FailedError(Exception):
    """A command failed; the text has its output."""


def run(command: str, answers: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run `command` in `folder` on a terminal, typing the next answer whenever it asks; return its output.

    A question is a line that ends with a colon and a space. Raises FailedError when the command does not end with 0.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    left, shown, asked = list(answers), b"", 0
    with subprocess.Popen(["bash", "-c", command], cwd=folder, env=env, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux tells of the end in this way, macOS by reading nothing
                break
            if not piece:
                break
            shown += piece
            if left and STYLED.sub("", shown[asked:].decode(errors="ignore")).endswith(": "):
                asked = len(shown)
                os.write(ours, f"{left.pop(0)}\n".encode())
    os.close(ours)
    if process.returncode:
        raise FailedError(f"{command} ended with {process.returncode}:\n{shown.decode(errors='replace')}")
    return shown.decode().replace("\r\n", "\n")


def plain(shown: str) -> str:
    """Return the output of a terminal without control sequences."""
    return CONTROL.sub("", STYLED.sub("", shown))


def record(step: Step, home: Path, env: Mapping[str, str]) -> list[str]:
    """Run a step, its folder below `home`; return the lines of the terminal, with the styles in them.

    Lines that are left out leave a mark that says how many there were. Raises FailedError.
    """
    shown = run(step.command, step.answers, home / step.folder, env).rstrip("\n").split("\n")
    left_out = len(shown) - step.first - step.last
    if left_out > 0:
        last = shown[len(shown) - step.last :]
        shown = [*shown[: step.first], f"\x1b[2m... {left_out} lines more\x1b[0m", *last]
    prompt = f"{step.folder} $ ".lstrip()
    return [f"\x1b[32m{prompt}\x1b[0;1m{step.command}\x1b[0m", *shown]


def styled(line: str) -> list[tuple[frozenset[int], str]]:
    """Return the parts of a line, each with the codes of its style; text before a carriage return is dropped."""
    parts: list[tuple[frozenset[int], str]] = []
    codes: set[int] = set()
    pieces = STYLED.split(CONTROL.sub("", line.rpartition("\r")[2]))
    for number, piece in enumerate(pieces):
        if number % 2:  # the separators: codes
            for code in map(int, (piece or "0").split(";")):
                if code == 0:
                    codes.clear()
                codes.add(code)
        elif piece:
            parts.append((frozenset(codes), piece))
    return parts


def draw(lines: Sequence[str], title: str) -> str:
    """Return an SVG picture of a terminal that shows `lines`; `title` is for those who can't see it."""
    columns = max([COLUMNS, *(len(plain(line)) for line in lines)])
    width, height = columns * CHARACTER + 2 * MARGIN, BAR + len(lines) * LINE + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
        f' height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>',
    ]
    out += [f'<circle cx="{MARGIN + 4 + 18 * number}" cy="16" r="5"/>' for number in range(3)]
    for number, line in enumerate(lines):
        y = BAR + (number + 1) * LINE - 4
        spans = []
        for codes, part in styled(line):
            names = " ".join(dict.fromkeys(CLASSES[code] for code in sorted(codes) if code in CLASSES))
            spans.append(f'<tspan class="{names}">{escape(part)}</tspan>' if names else escape(part))
        if spans:
            out.append(f'<text x="{MARGIN}" y="{y}" xml:space="preserve">{"".join(spans)}</text>')
    return "\n".join([*out, "</svg>\n"])
