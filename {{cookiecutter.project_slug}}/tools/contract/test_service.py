"""How the service starts, answers, logs, hangs and stops: with the rights and limits that it has in production."""

import contextlib
import json
import re
import time
from typing import NamedTuple

import pytest

from contract.image import PATIENCE, SLOW, Image, engine, none_of, point

CANARY = "canary-6f1c0b"  # of the environment, which the log must not have
RESETS = 4  # new connections that the kernel takes in the moment in which the service closes its port
AT_ONCE = 1 * SLOW  # seconds in which a service must end that is idle, or told twice


class Life(NamedTuple):
    """What an ordinary run shows."""

    start: float  # seconds until it was healthy
    early_log: str
    answers: list[int]
    ending: tuple[int, float]  # exit status, and seconds from the signal to the end
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def life(image: Image) -> Life:
    """One run from the start to SIGTERM, without a network. What this raises, each point raises that needs it."""
    with image.running("--network=none", "--env=LOG_LEVEL=DEBUG", f"--env=API_TOKEN={CANARY}") as container:
        early = engine("logs", container.id).stdout
        answers = container.get(8000, "/healthz", "/readyz") if image.serves else []
        ending = container.kill("TERM")
        logs = engine("logs", container.id)
    return Life(container.start, early, answers, ending, logs.stdout, logs.stderr)


def is_log(line: str) -> bool:
    """Tell whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@point("settings: a wrong one ends it with one line", fix="settings.py: give it a type and a description")
def test_wrong_settings(image: Image) -> str:
    """Exit status 2, one line that names the variable, no traceback; log lines of libraries don't count."""
    for variable in ("PORT" if image.serves else "INTERVAL", "LOG_LEVEL"):
        done = image.run(f"--env={variable}=unheard-of", image.name)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if not is_log(line)]
        assert done.returncode == 2, f"{variable}: exit status {done.returncode}"
        assert len(lines) == 1, f"{variable}: {len(lines)} lines"
        assert variable in lines[0], f"{variable} is not named: {lines[0][:80]}"
    return "status 2, one line"


@point(
    "start: healthy in time, hardened as in production",
    fix="the service's log says why. Write below /tmp only, look up no user by its number, wait for nobody;"
    " or raise memory, cpus, pids, tmp or start-seconds in [tool.image-contract]",
)
def test_healthy(image: Image, life: Life) -> str:
    """Root is read-only, the user any, without capability or network; the engine asks often enough to notice."""
    volumes, limit = image.config.get("Volumes"), image.terms["start-seconds"]
    assert not volumes, f"a VOLUME is writable: {', '.join(volumes)}"
    pause = (image.health.get("StartInterval") or image.health.get("Interval", 30e9)) / 1e9
    assert pause <= limit, f"HEALTHCHECK: the interval at the start is {pause:.0f} s, allowed: {limit} s"
    seconds = f"{life.start:.1f} s of {limit * SLOW:g} s"
    assert life.start <= limit * SLOW, f"healthy after {seconds}"
    return seconds + ("; memory not judged: emulated" if image.is_emulated else "")


@point("settings: honours PORT", fix="give the settings to serve(), which listens there", only="server")
def test_port(image: Image) -> str:
    """The service listens where it is told to."""
    with image.running("--env=PORT=8123") as container:
        assert container.get(8123, "/healthz") == [200], "nobody answers on 8123"
    return "answers on 8123"


@point("ready: /readyz and /healthz answer 200", fix="app.py: include the routes of probes()", only="server")
def test_ready(life: Life) -> str:
    """Both routes are there; a stop shows the difference between them."""
    assert life.answers == [200, 200], f"answers: {life.answers}"
    return "both"


@point("logs: JSON, a line each, at once", fix="log through `logging`, no environment; leave sys.excepthook as it is")
def test_json(image: Image, life: Life) -> str:
    """On stdout when they are logged, not when a buffer is full; an uncaught exception is one too; stderr is empty."""
    lines = life.stdout.splitlines()
    assert life.early_log, "nothing while it ran" if lines else "nothing at all"
    assert not life.stderr, f"on stderr: {life.stderr[:80]}"
    none_of([line[:80] for line in lines if not is_log(line)])
    assert CANARY not in life.stdout, "it has the environment, secrets included"
    last = image.run(*image.program("uncaught"))
    is_inside = is_log(last.stdout) and re.search("Traceback.*on purpose", last.stdout)
    assert is_inside, f"an uncaught exception: {len(last.stderr.splitlines())} lines on stderr"
    return f"{len(lines)} lines, and a traceback in one"


@point("health: a hanging service is unhealthy", fix="HEALTHCHECK has to ask the service itself, with a time limit")
def test_hang(image: Image) -> str:
    """With the service frozen, the health check fails within its own time limit."""
    with image.running(f"--env=HEARTBEAT_MAX_AGE={SLOW}") as container:
        engine("kill", "--signal", "STOP", container.id)
        time.sleep(0 if image.serves else 1.5 * SLOW)
        begin = time.monotonic()
        assert not container.healthy(), "healthy all the same"
    return f"unhealthy after {time.monotonic() - begin:.1f} s"


@point("stop: idle, status 0 within 1 s", fix="__main__.py: serve() and work() take the signals; set no handler")
def test_stop(image: Image, life: Life) -> str:
    """SIGTERM ends it: `docker stop`, Kubernetes."""
    signal, (code, seconds) = image.config.get("StopSignal") or "SIGTERM", life.ending
    assert signal in ("SIGTERM", "15"), f"STOPSIGNAL is {signal}"
    assert code == 0, f"status {code}"
    assert seconds <= AT_ONCE, f"after {seconds:.1f} s"
    return f"{seconds:.1f} s"


@point(
    "stop: no request is lost, /readyz goes false first",
    fix="answer within SHUTDOWN_TIMEOUT, serve() does the rest; /readyz is the one of service_runtime.probes",
    only="server",
)
def test_requests(image: Image) -> str:
    """Whether clients keep a connection, open new ones or are sending a request; load balancers learn of the stop."""
    with image.running() as container, container.client("load") as client:
        code, _ = container.kill("TERM")
        counts = json.loads(client.communicate(timeout=PATIENCE)[0] or b"{}")
    assert code == 0, f"status {code}"
    assert counts["lost"] == 0, f"{counts['lost']} of {counts['lost'] + counts['answered']} requests lost"
    assert counts["reset"] <= RESETS, f"{counts['reset']} new connections reset, allowed: {RESETS} as the port closes"
    assert counts["not ready"], "/readyz never answered 503"
    return f"{counts['answered']} answered, 0 lost, {counts['not ready']} with 503"


@point("stop: the job in hand is finished or given back", fix="__main__.py: let work() do the jobs", only="jobs")
def test_job(image: Image) -> str:
    """A job that asks gives the rest back, one that does not is finished; the exit status is 0."""
    for kind in ("asking", "stubborn"):
        with image.running(command=image.program("job", *image.config["Cmd"], kind)) as container:
            code, seconds = container.kill("TERM")
            is_done = code == 0 and "the job has ended" in engine("logs", container.id).stdout
            assert is_done, f"status {code} after {seconds:.1f} s, but the {kind} job was not over"
    return "both"


@point("stop: a second signal ends it at once", fix="__main__.py: serve() and work() take the signals; set no handler")
def test_second_signal(image: Image) -> str:
    """Pressing Ctrl-C (SIGINT) requests a stop; after another signal even a busy service ends at once."""
    command = () if image.serves else image.program("job", *image.config["Cmd"], "stubborn")
    with image.running(command=command) as container, contextlib.ExitStack() as clients:
        if image.serves:
            clients.enter_context(container.client("hold"))
        code, seconds = container.kill("INT", "TERM")
    assert code == 128 + 15, f"status {code} after {seconds:.1f} s"
    assert seconds <= AT_ONCE, f"after {seconds:.1f} s"
    return f"{seconds:.1f} s"
