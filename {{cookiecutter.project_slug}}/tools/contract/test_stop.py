"""How the service shows that it hangs, and how it stops while it is busy."""

import time

from contract.image import SLOW, Image, Late, engine
from contract.plugin import point

AT_ONCE = 1 * SLOW  # seconds


@point("health: a hanging service is unhealthy", fix="HEALTHCHECK has to ask the service itself, with a time limit")
def test_hang(image: Image) -> str:
    """With the service frozen, the health check fails within its own time limit."""
    with image.running(f"--env=HEARTBEAT_MAX_AGE={SLOW}") as container:
        container.must_be_healthy()
        engine("kill", "--signal", "STOP", container.id)
        time.sleep(0 if image.serves else 1.5 * SLOW)
        begin = time.monotonic()
        assert not container.healthy(), "healthy all the same"
    return f"unhealthy after {time.monotonic() - begin:.1f} s"


@point("stop: every request is answered", fix="answer within SHUTDOWN_TIMEOUT; serve() does the rest", only="server")
def test_requests(image: Image) -> str:
    """Clients lose no request, whether they keep a connection, open new ones or are sending a request."""
    code, counts = image.load
    assert code == 0, f"status {code}"
    assert counts["lost"] == 0, f"{counts['lost']} of {counts['lost'] + counts['answered']} requests lost"
    return f"{counts['answered']} answered, 0 lost"


@point("stop: /readyz goes false first", fix="app.py: /readyz is the one of service_runtime.probes", only="server")
def test_not_ready(image: Image) -> str:
    """Load balancers learn of the stop while the service still answers."""
    count = image.load[1]["not ready"]
    assert count, "/readyz never answered 503"
    return f"503 in {count} answers"


@point("stop: the job in hand is finished or given back", fix="__main__.py: let work() do the jobs", only="jobs")
def test_job(image: Image) -> str:
    """A job that asks gives the rest back, one that does not is finished; the exit status is 0."""
    for kind, last in {"asks": "given back", "stubborn": "finished"}.items():
        with image.running(command=image.program("job", image.package, kind)) as container:
            code, seconds = container.kill("TERM")
            is_done = code == 0 and last in engine("logs", container.id).stdout
            assert is_done, f"status {code} after {seconds:.1f} s, but the job was not {last}"
    return "both"


@point(
    "stop: a second signal ends it at once",
    fix="__main__.py: serve() and work() take the signals; set no handler yourself",
)
def test_second_signal(image: Image) -> str:
    """Pressing Ctrl-C twice ends the service at once, even while it is busy."""
    if image.serves:
        with image.running() as container, container.client("hold"):
            code, seconds = container.kill("TERM", "TERM")
    else:
        with image.running(command=image.program("job", image.package, "stubborn")) as container:
            code, seconds = container.kill("TERM", "TERM")
    assert code == 128 + 15, f"status {code} after {seconds:.1f} s"
    if seconds > AT_ONCE:
        raise Late(f"after {seconds:.1f} s")
    return f"{seconds:.1f} s"
