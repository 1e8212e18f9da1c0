"""The contract of a rendered project: run it, read its table, break an image."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from tests.helpers.combinations import ROOT
from tests.helpers.engine import PYTHON, Engine
from tests.helpers.project import Project, Run, run

BREAKS = ROOT / "tests/image/breaks"
COMMAND = (sys.executable, "-m", "contract")
ENVIRONMENT = {"PYTHONPATH": "tools", "PYTHONDONTWRITEBYTECODE": "1"}
STATUSES = {"held": "", "FAILED": "fix: ", "EXCEPTED": "reason: ", "not judged": ""}
PATIENCE = "3"  # times: what is late at that is late on a busy machine, too


class Row(NamedTuple):
    """What the table says of a point; `more` is its fix, or the reason of its exception."""

    status: str
    seen: str
    more: str = ""


Table = dict[str, Row]


def judge(project: Project, image: str, *options: str, engine: str = "docker", slow: str = PATIENCE) -> Run:
    """Judge an image in the project's folder, as `make check-image` does, with this repository's own pytest."""
    env = {**ENVIRONMENT, "DOCKER": engine, "SLOW": slow}
    return run(*COMMAND, image, *options, cwd=project.path, env=env, check=False)


def table(done: Run) -> Table:
    """Return the table that was printed; it must fit the last line and the exit status."""
    rows: Table = {}
    *lines, last = done.stdout.splitlines() or [""]
    for line in lines:
        if line.startswith(" "):
            point, row = rows.popitem()
            assert line.strip().startswith(STATUSES[row.status]), line
            rows[point] = row._replace(more=line.strip().removeprefix(STATUSES[row.status]))
        else:
            rows[line[11:61].strip()] = Row(line[:11].strip(), line[62:])
    assert rows, done.stdout + done.stderr
    statuses = [row.status for row in rows.values()]
    assert f": {statuses.count('held')} of {len(rows)} points hold" in last
    assert done.returncode == (1 if {"FAILED", "not judged"} & {*statuses} else 0), done.stdout + done.stderr
    for point, row in rows.items():
        assert bool(row.more) == bool(STATUSES[row.status]), point
    return rows


def red(rows: Table) -> dict[str, str]:
    """Return the points that do not hold, with what was seen."""
    return {point: row.seen for point, row in rows.items() if row.status != "held"}


def patch(file: str, old: str, new: str, *environment: str) -> str:
    """Return a Dockerfile's line that replaces `old` by `new` in a file of the project; without `old` it adds `new`."""
    return f"RUN {json.dumps(['env', *environment, PYTHON, '/breaks/patch.py', file, old, new])}"


def broken(engine: Engine, image: str, folder: Path, *lines: str) -> str:
    """Return an image made from a good one and lines of a Dockerfile, by way of an empty folder."""
    tag = f"{image}-{len(engine.images)}"
    engine.images.append(tag)
    steps = [line.replace("RUN ", "RUN --mount=type=bind,target=/breaks ", 1) for line in lines if line[:4] == "RUN "]
    settings = [line for line in lines if line[:4] != "RUN "]
    text = "\n".join([f"FROM {image}", "USER root", *steps, "USER 10001:10001", *settings])
    (folder / "Dockerfile").write_text(text)
    engine.docker("build", "--quiet", "--network=none", "--tag", tag, "--file", folder / "Dockerfile", BREAKS)
    return tag
