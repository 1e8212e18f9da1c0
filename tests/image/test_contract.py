"""The runtime contract: it holds for every kind of image, and a break of a point turns that point red, and no other."""

import itertools
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.helpers.combinations import IMAGES, Answers, identify
from tests.helpers.contract import COMMAND, ENVIRONMENT, broken, judge, patch, red, table
from tests.helpers.engine import PYTHON, Build, Engine, until
from tests.helpers.machine import index_environment, lab, unavailable
from tests.helpers.project import Bake, run
from tests.lab.engine import LAB

APP, RUNTIME = "*_service/app.py", "service_runtime"
START = "start: healthy in time, hardened as in production"
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
    "bytecode: that of the sources": [f"RUN rm {SITE}/*_service/__pycache__/settings.*.pyc"],
    "labels: true to the project": ["LABEL org.opencontainers.image.version=9.9.9"],
    "size: within the budget": ["RUN mkdir -p /srv && head -c 5000000 /dev/zero >/srv/big # image.base"],
    START: [f'HEALTHCHECK --interval=9s CMD ["{PYTHON}", "-m", "{RUNTIME}.health"]'],
    "settings: a wrong one ends it with one line": [patch(f"{RUNTIME}/environment.py", "sys.exit(2)", "sys.exit(1)")],
    "settings: honours PORT": [patch(f"{RUNTIME}/server.py", "settings.host, settings.port,", "settings.host, 8000,")],
    "ready: /readyz and /healthz answer 200": [
        patch(f"{RUNTIME}/probes.py", "status_code = 200 if answer", "status_code = 500 if answer")
    ],
    "health: a hanging service is unhealthy": [
        patch(f"{RUNTIME}/health.py", 'connection.recv(len("HTTP/1.1 200")).decode("latin-1")', '"all is well: 200"')
    ],
    "logs: JSON, a line each, at once": [patch(APP, "app = FastAPI()", 'print("hello"); app = FastAPI()')],
    "stop: idle, status 0 within 1 s": [
        patch(
            f"{RUNTIME}/server.py", "await asyncio.sleep(LINGER)", "await asyncio.sleep(LINGER if connections else 5)"
        )
    ],
    "stop: no request is lost, /readyz goes false first": [
        patch(f"{RUNTIME}/middleware.py", '(b"connection", b"close")', '(b"x-ending", b"true")')
    ],
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
    "stop: no request is lost, /readyz goes false first",
}
# Points of one subject, the word before the colon, are broken by different images: were one red by the break of
# another, it would be red where it has to hold.
SERVERS = [list(SERVER)[first::4] for first in range(4)]


@pytest.mark.quick
def test_no_image_breaks_two_points_of_a_subject() -> None:
    for points in [*SERVERS, list(WORKER)]:
        subjects = [point.partition(":")[0] for point in points]
        assert len(subjects) == len({*subjects})


@pytest.mark.parametrize("points", SERVERS, ids=itertools.count())
def test_breaks(build: Build, engine: Engine, tmp_path: Path, points: list[str]) -> None:
    project, image = build()
    lines = [line for point in points for line in SERVER[point]]
    rows = table(judge(project, broken(engine, image, tmp_path, *lines)))
    assert rows.keys() == SERVER.keys()  # every point has its break
    assert red(rows).keys() == set(points), red(rows)


def test_breaks_of_a_worker(build: Build, engine: Engine, tmp_path: Path) -> None:
    """Only the points that look elsewhere there; the others have been seen red above."""
    project, image = build(service_type="worker")
    lines = [line for lines in WORKER.values() for line in lines]
    rows = table(judge(project, broken(engine, image, tmp_path, *lines), "-k", "hand or hanging or wrong or idle"))
    assert red(rows).keys() == WORKER.keys(), red(rows)


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (patch(APP, "", 'open("/app/started", "w").close()'), "Read-only file system"),
        (f"RUN chgrp 10001 {SITE}/* && chmod o= {SITE}/*", "not healthy"),
        (patch(APP, "", 'import os; os.stat("/sys/class/net/eth0")'), "/sys/class/net/eth0"),
        (patch(APP, "", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"), "not permitted"),
        (patch(APP, "", 'HOG = b"x" * 200_000_000'), "killed: more than 128m of memory"),
        (
            patch(
                APP,
                "",
                "import threading as t; [t.Thread(target=t.Event().wait, daemon=True).start() for _ in range(99)]",
            ),
            "thread",
        ),
        (patch(APP, "", 'open("/tmp/full", "wb").write(bytes(70_000_000))'), "No space left"),
        ("VOLUME /data", "a VOLUME is writable: /data"),
    ],
    ids=["root", "any user", "network", "capability", "memory", "processes", "tmp", "volume"],
)
def test_a_right_that_production_does_not_give(
    build: Build, engine: Engine, tmp_path: Path, line: str, seen: str
) -> None:
    project, image = build()
    found = red(table(judge(project, broken(engine, image, tmp_path, line), "-k", "hardened")))
    assert seen in found[START]


def test_further_promises(build: Build, engine: Engine, tmp_path: Path) -> None:
    """Of points with another break above."""
    project, image = build()
    other = broken(
        *(engine, image, tmp_path),
        patch(f"{RUNTIME}/probes.py", '"stopping" if stop.requested else', '"stopping" if False else'),
        patch(f"{RUNTIME}/__init__.py", "What a service", "All a service", "STALE=1"),
        "LABEL org.opencontainers.image.revision=1",
    )
    found = red(table(judge(project, other, "-k", "stop: or bytecode or labels")))
    assert found.pop("bytecode: that of the sources").endswith("/service_runtime/__init__.py")
    assert found == {
        "stop: no request is lost, /readyz goes false first": "/readyz never answered 503",
        "labels: true to the project": "revision is '1'",
    }


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (patch(f"{RUNTIME}/logs.py", "sys.excepthook = lambda", "sys.no_hook = lambda"), "an uncaught exception: "),
        (
            patch(APP, "    return app", '    import logging, os; logging.info("%s", dict(os.environ)); return app'),
            "it has the environment",
        ),
        (
            patch(APP, "app = FastAPI()", 'import sys; print("hello", file=sys.stderr); app = FastAPI()'),
            "on stderr: hello",
        ),
    ],
    ids=["exception", "environment", "stderr"],
)
def test_logs(build: Build, engine: Engine, tmp_path: Path, line: str, seen: str) -> None:
    project, image = build()
    found = red(table(judge(project, broken(engine, image, tmp_path, line), "-k", "logs:")))
    assert found["logs: JSON, a line each, at once"].startswith(seen)


@pytest.mark.parametrize("answers", IMAGES, ids=identify)
def test_holds(build: Build, engine: Engine, tmp_path: Path, answers: Answers) -> None:
    project, image = build(**answers)
    if answers["python_version"] == "3.15":
        # What is put off until it is used (PEP 810) is found as well.
        image = broken(engine, image, tmp_path, "ENV PYTHON_LAZY_IMPORTS=all")
    rows = table(judge(project, image))
    every_point = SERVER.keys() | WORKER.keys()
    assert rows.keys() == (SERVER.keys() if answers["service_type"] == "fastapi" else every_point - ONLY_SERVER)
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
    assert "(largest: whale 50.0; " in found["size: within the budget"]


def test_weighs_debian_packages(build: Build) -> None:
    project, image = build("file")
    found = red(table(judge(project, image, "-k", "size:")))
    assert re.match(r"debian \d\d\.\d of 4 MB", found["size: within the budget"])


def test_service_that_never_stops(build: Build, engine: Engine, tmp_path: Path) -> None:
    project, image = build()
    deaf = broken(
        engine, image, tmp_path, patch(f"{RUNTIME}/stop.py", "if self.requested:", "return\n        if False:")
    )
    rows = table(judge(project, deaf, "-k", "second", slow="1"))
    assert red(rows) == {"stop: a second signal ends it at once": "no end after 15 s"}


# --- on a slow machine ---


def test_slow(build: Build, engine: Engine, tmp_path: Path) -> None:
    """As under emulation: what is late otherwise is in time."""
    project, image = build()
    slow = broken(
        *(engine, image, tmp_path),
        patch(APP, "", "import time; time.sleep(6)"),
        patch(f"{RUNTIME}/server.py", "await asyncio.sleep(LINGER)", "await asyncio.sleep(2)"),
        patch(f"{RUNTIME}/stop.py", "os._exit(128 + number)", "import time; time.sleep(2); os._exit(128 + number)"),
    )
    found = red(table(judge(project, slow, "-k", "hardened or idle or second", slow="1")))
    assert re.fullmatch(r"healthy after \d+\.\d s of 5 s", found.pop(START))
    assert len(found) == 2
    assert all(re.fullmatch(r"after \d+\.\d s", seen) for seen in found.values())
    rows = table(judge(project, slow, "-k", "hardened or idle or second", slow="10"))
    assert red(rows) == {}
    assert rows[START].seen.endswith(" of 50 s")


@pytest.mark.quick
def test_slow_is_a_number(bake: Bake) -> None:
    done = judge(bake(), "no-such-image", slow="ten")
    assert done.returncode == 2
    assert done.stderr == "SLOW is 'ten'; allowed: a number, such as 10\n"


# --- the end ---


def containers(engine: Engine, image: str) -> list[str]:
    """Return the names of the containers of an image that a run of the contract has started."""
    filters = ("--filter", "label=image-contract", "--filter", f"ancestor={image}")
    return engine.docker("ps", "--all", *filters, "--format", "{{.Names}}").stdout.split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_nothing_stays_behind_when_it_is_interrupted(
    build: Build, engine: Engine, tmp_path: Path, number: signal.Signals
) -> None:
    project, image = build()
    image = broken(engine, image, tmp_path, f"LABEL interrupted-by={number.name}")  # no other test's
    with subprocess.Popen(
        [*COMMAND, image, "-k", "lost"],
        cwd=project.path,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # In a background job of a shell, where the tests may run, it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        until(lambda: any(name.startswith("client-") for name in containers(engine, image)))
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 2
    assert containers(engine, image) == []
