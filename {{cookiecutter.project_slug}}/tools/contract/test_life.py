"""What an ordinary run of the service shows: start, settings, answers, logs, stop."""

import json
import re

from contract.image import SLOW, Broken, Image, Late
from contract.plugin import none_of, point

STOP = 1 * SLOW  # seconds in which an idle service must end


@point(
    "start: healthy in time", fix="the service's log says why; HEALTHCHECK in the Dockerfile names the module to ask"
)
def test_healthy(image: Image) -> str:
    """The image's own health check says so, and the engine runs it often enough to notice in time."""
    if missing := image.asked["missing"]:
        broken = Broken(f"no default, and no value in pyproject.toml: {', '.join(missing)}")
        values = dict.fromkeys(missing, "placeholder") | image.terms["settings"]
        line = ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
        broken.fix = f"below [tool.image-contract] in pyproject.toml: settings = {{ {line} }}"
        raise broken
    check, limit = image.health, image.terms["start-seconds"]
    assert check.get("Test"), "the image has no HEALTHCHECK (Podman keeps it with --format docker only)"
    pause = (check.get("StartInterval") or check.get("Interval", 30e9)) / 1e9
    assert pause <= limit, f"HEALTHCHECK: the interval at the start is {pause:.0f} s, allowed: {limit} s"
    assert image.life.start, "not healthy at all; see the log of `docker run`"
    if image.life.start > limit * SLOW:
        raise Late(f"healthy after {image.life.start:.1f} s, allowed: {limit * SLOW:g} s")
    return f"{image.life.start:.1f} s of {limit * SLOW:g} s"


@point("start: compiles nothing", fix="build it again; what Python can't compile has no bytecode")
def test_compiles_nothing(image: Image) -> str:
    """Every module is loaded from bytecode, from the start to the end, with a request to each route (or a job).

    With PYTHONVERBOSE, Python would name the sources that it compiles.
    """
    paths = re.findall(r"^# code object from '?([^'\s]+)'?$", image.verbose[0], re.MULTILINE)
    none_of([path for path in paths if path.endswith(".py")])
    assert paths, "no module came from bytecode"
    return f"{len(paths)} modules from bytecode"


@point("settings: a wrong one ends it with one line", fix="settings.py: give it a type and a description")
def test_wrong_settings(image: Image) -> str:
    """Exit status 2, one line that names the variable, no traceback; log lines of libraries don't count."""
    for variable, (code, text) in image.refused.items():
        lines = [line for line in text.splitlines() if not is_log(line)]
        assert code == 2, f"{variable}: exit status {code}"
        assert len(lines) == 1, f"{variable}: {len(lines)} lines"
        assert variable in text, f"{variable} is not named: {text[:80]}"
    return "status 2, one line"


@point("ready: /readyz and /healthz answer 200", fix="app.py: include the routes of probes()", only="server")
def test_ready(image: Image) -> str:
    """Both routes are there; a stop shows the difference between them."""
    assert image.life.answers == [200, 200], f"answers: {image.life.answers}"
    return "both"


def is_log(line: str) -> bool:
    """Tell whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@point("logs: a JSON object per line, at once", fix="log through `logging`; print nothing")
def test_json(image: Image) -> str:
    """Lines are on stdout as soon as they are logged, not when a buffer is full; stderr stays empty."""
    lines = image.life.stdout.splitlines()
    assert image.life.early_log, "nothing while it ran" if lines else "nothing at all"
    assert not image.life.stderr, f"on stderr: {image.life.stderr[:80]}"
    none_of([line[:80] for line in lines if not is_log(line)])
    return f"{len(lines)} lines"


@point("logs: a traceback inside its object", fix="leave sys.excepthook and the handlers of `logging` as they are")
def test_traceback(image: Image) -> str:
    """This includes uncaught exceptions."""
    done = image.run(*image.program("uncaught"))
    lines = done.stdout.splitlines()
    is_inside = len(lines) == 1 and is_log(lines[0]) and "on purpose" in lines[0] and "Traceback" in lines[0]
    assert is_inside, f"{len(lines)} lines on stdout, {len(done.stderr.splitlines())} on stderr"
    return "one line"


@point("logs: no secret", fix="settings.py: a secret is a SecretStr; never log the environment")
def test_no_secret(image: Image) -> str:
    """Secret settings, and variables that the service does not declare, stay out of the log."""
    texts = [image.life.stdout, image.life.stderr, *(text for _, text in image.refused.values())]
    for name, value in image.secrets.items():
        assert len(value) > 7, f"{name} in [tool.image-contract] needs 8 characters, to be found in a log"
        none_of([line[:60] for text in texts for line in text.splitlines() if value in line])
    return f"{len(image.secrets)} variables"


@point(
    "stop: idle, status 0 within 1 s", fix="__main__.py: serve() and work() take the signals; set no handler yourself"
)
def test_stop(image: Image) -> str:
    """SIGTERM (docker stop, Kubernetes) and SIGINT (Ctrl-C) alike."""
    signal = image.config.get("StopSignal") or "SIGTERM"
    assert signal in ("SIGTERM", "15"), f"STOPSIGNAL is {signal}"
    endings = {"SIGTERM": image.life.ending, "SIGINT": image.verbose[1]}
    for signal, (code, seconds) in endings.items():
        assert code == 0, f"{signal}: status {code}"
        if seconds > STOP:
            raise Late(f"{signal}: after {seconds:.1f} s")
    return ", ".join(f"{seconds:.1f} s" for _, seconds in endings.values())
