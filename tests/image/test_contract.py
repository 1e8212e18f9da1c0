"""The runtime contract: it holds for every kind of image, and a break of a point turns that point red, and no other."""

import itertools
import re
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.combinations import IMAGES, Answers, identify
from tests.helpers.contract import COMMAND, ENVIRONMENT, broken, judge, patch, red, table
from tests.helpers.engine import PYTHON, Build, Engine, until
from tests.helpers.machine import index_environment, lab, unavailable
from tests.helpers.project import Bake, Project, run
from tests.lab.engine import LAB

APP, RUNTIME = "*_service/app.py", "service_runtime"
SITE = "/app/.venv/lib/python3*/site-packages"

# What breaks each point: lines of a Dockerfile that begins with the good image.
SERVER: dict[str, list[str]] = {
    "user: a number, not root": ["RUN echo service:x:10001:10001::/: >>/etc/passwd", "USER service"],
    "files: /app and the path can't be changed": ["RUN chmod o+w /usr/local/bin"],
    "files: none setuid or setgid": ["RUN chmod u+s /usr/bin/env"],
    "files: no tool, package manager or cache": ["RUN touch /usr/bin/pip3"],
    "files: no secret, source tree, lock or test": ["RUN mkdir -p /srv && touch /srv/.env"],
    "packages: exactly poetry.lock's main group": [f"RUN {PYTHON} /breaks/stranger.py"],
    "packages: every file as in its wheel's RECORD": [f"RUN echo >>$(echo {SITE}/pydantic/py.typed)"],
    "bytecode: that of the sources": [patch(f"{RUNTIME}/__init__.py", "What a service", "All a service", "STALE=1")],
    "labels: true to the project": ["LABEL org.opencontainers.image.version=9.9.9"],
    "size: within the budget": ["RUN mkdir -p /srv && head -c 5000000 /dev/zero >/srv/big # image.base"],
    "start: healthy in time": [f'HEALTHCHECK --interval=9s CMD ["{PYTHON}", "-m", "{RUNTIME}.health"]'],
    "start: read-only, no capability or new privilege": [
        "RUN mkdir -p /srv && chmod 777 /srv",
        patch(APP, "", 'open("/srv/started", "w").close()'),
    ],
    "start: as any user": [f"RUN chgrp 10001 {SITE}/* && chmod o= {SITE}/*"],
    "start: without a network": [patch(APP, "", 'import os; os.stat("/sys/class/net/eth0")')],
    "start: within limits": [patch(APP, "", 'HOG = b"x" * 200_000_000')],
    "start: compiles nothing": [f"RUN rm {SITE}/*_service/__pycache__/settings.*.pyc"],
    "settings: a wrong one ends it with one line": [patch(f"{RUNTIME}/environment.py", "sys.exit(2)", "sys.exit(1)")],
    # It ends at once, rather than being waited for on a port that nobody asks.
    "settings: honours PORT": [
        patch(f"{RUNTIME}/server.py", "settings.host, settings.port,", "settings.host, {8000: 8000}[settings.port],")
    ],
    "ready: /readyz and /healthz answer 200": [
        patch(f"{RUNTIME}/probes.py", "status_code = 200 if answer", "status_code = 500 if answer")
    ],
    "health: a hanging service is unhealthy": [
        patch(f"{RUNTIME}/health.py", 'connection.recv(len("HTTP/1.1 200")).decode("latin-1")', '"all is well: 200"')
    ],
    "logs: a JSON object per line, at once": [patch(APP, "app = FastAPI()", 'print("hello"); app = FastAPI()')],
    "logs: a traceback inside its object": [
        patch(f"{RUNTIME}/logs.py", "sys.excepthook = lambda", "sys.no_hook = lambda")
    ],
    "logs: no secret": [
        patch(APP, "    return app", '    import logging, os; logging.info("%s", dict(os.environ)); return app')
    ],
    "stop: idle, status 0 within 1 s": [
        patch(f"{RUNTIME}/stop.py", "signal.SIGINT, self._receive", "signal.SIGINT, signal.SIG_DFL")
    ],
    "stop: every request is answered": [
        patch(f"{RUNTIME}/middleware.py", '(b"connection", b"close")', '(b"x-ending", b"true")')
    ],
    "stop: /readyz goes false first": [patch(f"{RUNTIME}/probes.py", "if stop.requested else", "if False else")],
    "stop: a second signal ends it at once": [patch(f"{RUNTIME}/stop.py", "os._exit(128 + number)", "os._exit(1)")],
}
# Those that a worker has alone, or that look elsewhere there.
WORKER: dict[str, list[str]] = {
    # It loses patience, but not before a second signal can come.
    "stop: the job in hand is finished or given back": [
        patch(f"{RUNTIME}/loop.py", "    stop.running", "    asked = []\n    stop.running"),
        patch(
            f"{RUNTIME}/loop.py",
            "        return not stop.requested",
            "        asked.append(stop.requested)\n"
            "        return sys.exit() if sum(asked) > 40 else not stop.requested",
        ),
        patch(f"{RUNTIME}/loop.py", "import logging\n", "import logging\nimport sys\n"),
    ],
    "health: a hanging service is unhealthy": [patch(f"{RUNTIME}/health.py", "return left >= 0,", "return True,")],
    "settings: a wrong one ends it with one line": [patch(f"{RUNTIME}/environment.py", "sys.exit(2)", "sys.exit(1)")],
}
ONLY_SERVER = {
    "settings: honours PORT",
    "ready: /readyz and /healthz answer 200",
    "stop: every request is answered",
    "stop: /readyz goes false first",
}


def shared_out(breaks: Mapping[str, list[str]], count: int) -> list[list[str]]:
    """Share the points out among `count` images that break them, each to two."""
    images: list[list[str]] = [[] for _ in range(count)]
    for point, pair in zip(breaks, itertools.cycle(itertools.combinations(images, 2)), strict=False):
        for image in pair:
            image.append(point)
    return images


# Enough that no two points of one subject, the word before the colon, are in the same two.
SERVERS, WORKERS = shared_out(SERVER, 5), shared_out(WORKER, 3)


@pytest.mark.quick
@pytest.mark.parametrize(("breaks", "images"), [(SERVER, SERVERS), (WORKER, WORKERS)], ids=["server", "worker"])
def test_for_any_two_points_of_a_subject_an_image_tells_them_apart(
    breaks: Mapping[str, list[str]], images: list[list[str]]
) -> None:
    """Were a point red by the break of another one, it would be red where it has to hold."""
    assert {point for image in images for point in image} == set(breaks)
    for one, other in itertools.permutations(breaks, 2):
        is_one_subject = one.partition(":")[0] == other.partition(":")[0]
        assert not is_one_subject or any(one in image and other not in image for image in images)


@pytest.mark.parametrize("points", SERVERS, ids=itertools.count())
def test_breaks(build: Build, engine: Engine, tmp_path: Path, points: list[str]) -> None:
    project, image = build()
    lines = [line for point in points for line in SERVER[point]]
    rows = table(judge(project, broken(engine, image, tmp_path, *lines)))
    assert rows.keys() == SERVER.keys()  # every point has its break
    assert red(rows).keys() == set(points), red(rows)


@pytest.mark.parametrize("points", WORKERS, ids=itertools.count())
def test_breaks_of_a_worker(build: Build, engine: Engine, tmp_path: Path, points: list[str]) -> None:
    """Only the points that look elsewhere there; the others have been seen red above."""
    project, image = build(service_type="worker")
    lines = [line for point in points for line in WORKER[point]]
    rows = table(judge(project, broken(engine, image, tmp_path, *lines), "-k", "hand or hanging or wrong"))
    assert rows.keys() == WORKER.keys()
    assert red(rows).keys() == set(points), red(rows)


@pytest.mark.parametrize("answers", IMAGES, ids=identify)
def test_holds(build: Build, answers: Answers) -> None:
    project, image = build(**answers)
    rows = table(judge(project, image))
    every_point = SERVER.keys() | WORKER.keys()
    assert rows.keys() == (SERVER.keys() if answers["service_type"] == "fastapi" else every_point - ONLY_SERVER)
    assert red(rows) == {}


def test_holds_with_lazy_imports(build: Build, engine: Engine, tmp_path: Path) -> None:
    """What Python 3.15 puts off until it is used (PEP 810) has its bytecode as well."""
    project, image = build(python_version="3.15", mirror="none")
    lazy = broken(engine, image, tmp_path, "ENV PYTHON_LAZY_IMPORTS=all")
    rows = table(judge(project, lazy, "-k", "compiles or healthy or wrong or requests or second"))
    assert {"start: compiles nothing", "stop: every request is answered"} < rows.keys()
    assert red(rows) == {}


def test_holds_under_podman(bake: Bake, engine: Engine) -> None:
    """Built by Buildah and run by Podman, both from Debian's packages."""
    if not lab():
        unavailable("this test needs the lab's Podman, and the lab is not in use")
    podman = run(LAB, "podman").stdout.split()[-1]
    project = bake()
    suite = engine.suites[project.answers["python_version"]]
    flags = " ".join(engine.build_flags)
    project.make("image", f"DOCKER={podman}", f"DEBIAN_SUITE={suite}", f"BUILD_FLAGS={flags}", "IMAGE=contract")
    assert red(table(judge(project, "contract", engine=podman))) == {}


def test_make_check_image(build: Build) -> None:
    """With the pinned tools; a part of the contract does not make an image that may be pushed."""
    project, image = build()
    command = (f"IMAGE={image}", "POINTS=size: or files:")
    done = project.make("check-image", *command, env=index_environment())
    assert ": 5 of 5 points hold" in done.stdout
    names = [case.attrib["name"] for case in ET.parse(project.path / "contract.xml").iter("testcase")]
    assert sorted(names) == sorted(point for point in SERVER if point.startswith(("size:", "files:")))
    assert not (project.path / ".image-checked").exists()
    assert ": 1 of 1 points hold" in project.make("image-budget", f"IMAGE={image}").stdout


def test_says_what_grew(build: Build, engine: Engine, tmp_path: Path) -> None:
    project, image = build()
    line = f"RUN cd {SITE} && mkdir whale && head -c 50000000 /dev/zero >whale/blob"
    found = red(table(judge(project, broken(engine, image, tmp_path, line), "-k", "size:")))
    assert found["size: within the budget"].startswith("venv ")
    assert "(largest: whale 30.0; " in found["size: within the budget"]


def test_weighs_debian_packages(build: Build) -> None:
    project, image = build("file")
    found = red(table(judge(project, image, "-k", "size:")))
    assert re.match(r"debian \d\d\.\d of 4 MB", found["size: within the budget"])


def test_service_that_never_stops(build: Build, engine: Engine, tmp_path: Path) -> None:
    project, image = build()
    deaf = broken(
        engine, image, tmp_path, patch(f"{RUNTIME}/stop.py", "if self.requested:", "return\n        if False:")
    )
    rows = table(judge(project, deaf, "-k", "second"))
    assert red(rows) == {"stop: a second signal ends it at once": "no end after 30 s"}


# --- on a slow machine ---


def test_slow(build: Build, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under emulation: it is healthy only after more than 5 s."""
    project, image = build()
    slow = broken(engine, image, tmp_path, patch(APP, "", "import time; time.sleep(6)"))
    monkeypatch.setenv("SLOW", "10")
    rows = table(judge(project, slow, "-k", "healthy and time"))
    assert red(rows) == {}
    assert rows["start: healthy in time"].seen.endswith(" of 50 s")


@pytest.mark.quick
def test_slow_is_a_number(bake: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW", "ten")
    done = judge(bake(), "no-such-image")
    assert done.returncode == 2
    assert done.stderr == "SLOW is 'ten'; allowed: a number, such as 10\n"


# --- what a project says about itself ---


def required_setting(project: Project) -> None:
    """Add a setting without a default."""
    project.append(f"src/{project.package}/settings.py", "\n    database_url: SecretStr\n")
    project.replace(
        f"src/{project.package}/settings.py",
        "from service_runtime",
        "from pydantic import SecretStr\n\nfrom service_runtime",
    )


def test_required_setting(bake: Bake, engine: Engine) -> None:
    project = bake()
    required_setting(project)
    image, _ = engine.build(project, "--build-arg", "VERSION=0.1.0")
    rows = table(judge(project, image))
    (failed,) = [point for point, row in rows.items() if row.status == "FAILED"]
    assert rows[failed].seen == "no default, and no value in pyproject.toml: DATABASE_URL"
    not_judged = {point: row.seen for point, row in rows.items() if row.status == "not judged"}
    assert set(not_judged.values()) == {"DATABASE_URL: no value"}
    assert {point.partition(":")[0] for point in not_judged} >= {
        "start",
        "ready",
        "health",
        "processes",
        "logs",
        "stop",
    }
    # A part of the contract that needs the service does not hold, either.
    assert set(table(judge(project, image, "-k", "ready:")).values()) == {("not judged", "DATABASE_URL: no value", "")}

    line = rows[failed].more.removeprefix("below [tool.image-contract] in pyproject.toml: ")
    assert line == 'settings = { DATABASE_URL = "placeholder" }'
    project.replace("pyproject.toml", "settings = {}", line)
    rows = table(judge(project, image, "-k", "healthy and time or limits or port or ready: or logs: or idle"))
    assert red(rows) == {}
    assert rows["logs: no secret"].seen == "3 variables"


SIZE, NO_TOOL = "size: within the budget", "files: no tool, package manager or cache"


@pytest.fixture
def project(bake: Bake) -> Project:
    """A project to edit."""
    return bake()


def agree(project: Project, line: str) -> None:
    """Add a line to the exceptions."""
    project.replace("pyproject.toml", "\n[tool.image-contract.except]\n", f"\n[tool.image-contract.except]\n{line}\n")


def test_exceptions(project: Project, build: Build, engine: Engine, tmp_path: Path) -> None:
    git = broken(engine, build()[1], tmp_path, "RUN touch /usr/bin/git /usr/bin/pip3 && chmod u+s /usr/bin/git")
    agree(project, f'"{SIZE}" = "one day"\n"{NO_TOOL}" = {{ "*/bin/git" = "it clones", "*/bin/g?*" = "it does not" }}')
    select = ("-k", "size: or manager or setuid")
    # No longer needed; and a file that is excepted lets no other one pass, nor passes another point.
    rows = table(judge(project, git, *select))
    assert red(rows) == {NO_TOOL: "usr/bin/pip3", "files: none setuid or setgid": "usr/bin/git"}
    assert rows[SIZE].seen.endswith("; its exception is no longer needed")
    # Needed.
    project.replace("pyproject.toml", "app = 1,", "app = 0.001,")
    project.replace("pyproject.toml", '"*/bin/g?*" = "it does not"', '"*/bin/pip3" = "it installs", "*/bin/cc" = "?"')
    agree(project, '"files: none setuid or setgid" = "a test"')
    done = judge(project, git, *select)
    rows = table(done)
    assert {point: (row.status, row.more) for point, row in rows.items()} == {
        "files: none setuid or setgid": ("EXCEPTED", "a test"),
        NO_TOOL: ("held", ""),
        SIZE: ("EXCEPTED", "one day"),
    }
    assert rows[NO_TOOL].seen == (
        "none; except usr/bin/git: it clones; except usr/bin/pip3: it installs; */bin/cc is no longer needed here"
    )
    assert done.stdout.endswith(": 1 of 3 points hold, 2 excepted\n")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pids = 64", "pid = 64", "pid is unknown; allowed: settings, start-seconds, memory"),
        ("pids = 64", "", "pids is missing; allowed, for example: pids = 64"),
        ("pids = 64", "pids = true", "pids is True; allowed, for example: pids = 64"),
        ('memory = "128m"', "memory = 128", 'memory is 128; allowed, for example: memory = "128m"'),
        (
            "settings = {}",
            "settings = { PORT = 80 }",
            "settings is {'PORT': 80}; allowed, for example: settings = { DATA",
        ),
        (", app = 1,", ",", "allowed, for example: budget = { venv = 50, app = 1, debian = 2 }"),
        ("except]\n", f'except]\n"{SIZE}" = " "\n', "allowed, for example: except = { "),
        ("[tool.image-contract", "[tool.nothing", "settings is missing"),
    ],
)
def test_wrong_terms(project: Project, old: str, new: str, message: str) -> None:
    text = project.read("pyproject.toml")
    project.write("pyproject.toml", text.replace(old, new))
    done = judge(project, "no-such-image")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"stop: never" = "why"', "'stop: never' is no point; there are\n    user: a number, not root\n"),
        ('"stop: the job in hand is finished or given back" = "why"', "is no point; there are"),
        (f'"{SIZE}" = {{ "*/x" = "why" }}', f"{SIZE!r} is not about files; allowed: a reason"),
    ],
)
def test_exception_of_nothing(project: Project, build: Build, line: str, message: str) -> None:
    agree(project, line)
    done = judge(project, build()[1])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_what_can_not_be_examined(project: Project, build: Build, tmp_path: Path) -> None:
    hint = "Run this in the project's folder, after `make image`; "
    elsewhere = run(
        *COMMAND, "x", cwd=tmp_path, env={**ENVIRONMENT, "PYTHONPATH": str(project.path / "tools")}, check=False
    )
    for done, message in {
        judge(project, "no-such-image"): "no-such-image can't be examined: docker image: ",
        judge(
            project, "x", engine="no-such-engine"
        ): "x can't be examined: [Errno 2] No such file or directory: 'no-such-",
        elsewhere: "x can't be examined: [Errno 2] No such file or directory: 'pyproject.toml'",
    }.items():
        assert done.returncode == 2
        assert message in done.stderr
        assert hint in done.stderr
        assert "Traceback" not in done.stderr
    done = judge(project, build()[1], "-k", "nonsense")
    assert done.returncode == 2
    assert "no point has such a name" in done.stderr


# --- points of a team's own ---

OWN = """\
import pytest

from contract.image import Image


@pytest.mark.point("greeting: knows names", fix="app.py: the route /greeting")
def test_greeting(image: Image) -> str:
    with image.running() as container:
        assert container.get(8000, "/greeting?name=you") == [200]
        assert container.get(8000, "/nowhere") == [404]
    return "200"
"""
WRONG = """

@pytest.mark.point("greeting: is everywhere", fix="app.py: a route for all")
def test_nowhere(image: Image) -> None:
    with image.running() as container:
        assert container.get(8000, "/nowhere") == [200]


@pytest.mark.parametrize("word", ["one", "two"])
def test_wrong(word: str) -> None:
    assert word == "one"
    raise KeyError("image")
"""


def test_own_points(project: Project, build: Build) -> None:
    image = build()[1]
    project.write("tests/image/test_greeting.py", OWN + WRONG)
    assert table(judge(project, image, "-k", "user: or greeting")) == {
        "user: a number, not root": ("held", "10001:10001", ""),
        "greeting: knows names": ("held", "200", ""),
        "greeting: is everywhere": ("FAILED", "assert [404] == [200]", "app.py: a route for all"),
        "test_wrong[one]": ("FAILED", "KeyError: 'image'", "see tests/image/test_greeting.py::test_wrong[one]"),
        "test_wrong[two]": ("FAILED", "assert 'two' == 'one'", "see tests/image/test_greeting.py::test_wrong[two]"),
    }
    project.write("tests/image/test_more.py", OWN.partition('\n@pytest.mark.point("greeting: is')[0])
    done = judge(project, image, "-k", "user:")
    assert done.returncode == 2
    assert (
        "two points have the same name, 'greeting: knows names': tests/image/test_greeting.py::test_gr" in done.stderr
    )
    project.write("tests/image/test_more.py", "import nonsense")
    done = judge(project, image, "-k", "user:")
    assert done.returncode == 2
    assert "No module named 'nonsense'" in done.stderr


def test_own_points_pass_the_project_s_own_checks(project: Project) -> None:
    """And `make test` leaves them alone: it has no image."""
    project.write("tests/image/test_greeting.py", OWN)
    run("ruff", "check", ".", cwd=project.path)
    run("ruff", "format", "--check", ".", cwd=project.path)
    run("mypy", "tests/image", cwd=project.path)
    addopts = tomllib.loads(project.read("pyproject.toml"))["tool"]["pytest"]["ini_options"]["addopts"].split()
    options = [word for word in addopts if not word.startswith("--cov")]  # a plugin that is not installed here
    command = (sys.executable, "-m", "pytest", "--override-ini=addopts=", "--collect-only", "--quiet", *options)
    collected = run(*command, cwd=project.path, env={"PYTHONPATH": "src:tools"}).stdout
    assert "test_app.py" in collected
    assert "test_greeting.py" not in collected
    project.write("tests/image/test_greeting.py", OWN.replace(" -> str", ""))
    assert run("mypy", "tests/image", cwd=project.path, check=False).returncode == 1


# A point that is late at first, and one that is judged beside it, in another file; `order` tells what came when.
LATE = """
from pathlib import Path
import pytest
from contract.image import Late

@pytest.mark.point("late: twice", fix="wait")
def test_late(image):
    with Path("order").open("a") as order:
        order.write("late\\n")
    if Path("order").read_text().count("late") < 3:
        raise Late("after 9 s")
    return "in time"

@pytest.mark.point("late: for ever", fix="wait")
def test_never(image):
    raise Late("after 9 s")
"""
NEIGHBOUR = """
import time
from pathlib import Path
import pytest

@pytest.mark.point("late: its neighbour", fix="none")
def test_neighbour(image):
    while "late" not in (text := Path("order").read_text()):
        time.sleep(0.05)
    time.sleep(1)  # a second try that does not wait for the end of this point would come now
    with Path("order").open("a") as order:
        order.write("neighbour\\n")
"""


def test_what_is_late_is_judged_again_alone(project: Project, build: Build) -> None:
    image = build()[1]
    project.write("order", "")
    project.write("tests/image/test_late.py", LATE)
    project.write("tests/image/test_neighbour.py", NEIGHBOUR)
    rows = table(judge(project, image, "-k", "late:"))
    assert rows["late: twice"] == ("held", "in time", "")
    assert rows["late: for ever"] == ("FAILED", "after 9 s", "wait")
    assert project.read("order").split() == ["late", "neighbour", "late", "late"]


# --- the end ---


def labelled(engine: Engine, value: str) -> list[str]:
    """Return the names of the containers that a run of the contract has started."""
    label = f"label=image-contract={value}"
    return engine.docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").stdout.split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_nothing_stays_behind_when_it_is_interrupted(build: Build, engine: Engine, number: signal.Signals) -> None:
    project, image = build()
    run_id = f"test-{number}-{time.time_ns()}"
    environment = {**ENVIRONMENT, "IMAGE_CONTRACT_RUN": run_id}
    command = ["env", *(f"{name}={value}" for name, value in environment.items()), *COMMAND, image, "-k", "stop:"]
    with subprocess.Popen(
        command,
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # In a background job of a shell, where the tests may run, it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        until(lambda: any(name.startswith("client-") for name in labelled(engine, run_id)))
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 2
    assert labelled(engine, run_id) == []
