"""Mail: a worker on a queue. No mail is lost by a stop, by kill -9 of the worker, or while the queue is away."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers import services
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import Engine, healthcheck, stop, until
from tests.helpers.project import Project, run
from tests.helpers.servers import debian, free_port, server
from tests.services.conftest import Scaffold

MAILS = {f"{number}@example.com" for number in range(60)}


@pytest.fixture(scope="module")
def mail(scaffold: Scaffold, engine: Engine) -> tuple[Project, str]:
    """The project, and its image."""
    project = scaffold("mail", service_type="worker", build_image="slim")
    # A closed port rather than a name: looking that up would take a while.
    project.replace("pyproject.toml", "\nsettings = {}\n", '\nsettings = { QUEUE_URL = "redis://127.0.0.1:9" }\n')
    services.finish(project, "redis>=8,<9")
    return project, engine.build(project, "--build-arg", "VERSION=0.1.0")[0]


def test_holds(mail: tuple[Project, str]) -> None:
    project, image = mail
    services.check(project)
    assert red(table(judge(project, image))) == {}
    services.update(project)


class Queue:
    """A Redis that forgets nothing, even on kill -9."""

    def __init__(self, folder: Path) -> None:
        debian("redis-server")
        self.port = free_port()
        self.options = ("--port", str(self.port), "--dir", str(folder), "--save", "")
        self.open = ExitStack()
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, with what it knew before."""
        return self.open.enter_context(
            server("redis-server", *self.options, "--appendonly", "yes", "--appendfsync", "always", port=self.port)
        )

    def ask(self, *command: str) -> str:
        """Return what it answers."""
        return run("redis-cli", "-p", str(self.port), "--json", *command).stdout

    def is_done(self) -> bool:
        """Return whether everything is acknowledged."""
        (group,) = json.loads(self.ask("XINFO", "GROUPS", "mails"))
        return bool(group["pending"] == group["lag"] == 0)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """The queue, with all MAILS."""
    queue = Queue(tmp_path)
    for address in MAILS:
        queue.ask("XADD", "mails", "*", "to", address, "steps", "4")
    yield queue
    queue.open.close()


def test_no_mail_is_lost(mail: tuple[Project, str], engine: Engine, queue: Queue) -> None:
    workers: list[str] = []

    def start(name: str) -> str:
        settings = {"QUEUE_URL": f"redis://127.0.0.1:{queue.port}", "QUEUE_WORKER": name, "QUEUE_PATIENCE": "2"}
        variables = [f"--env={key}={value}" for key, value in {**settings, "INTERVAL": "0.1"}.items()]
        workers.append(engine.start("--network=host", *variables, mail[1]))
        return workers[-1]

    def messages(worker: str) -> list[str]:
        return [line["message"] for line in engine.logged(worker)]

    def is_busy(worker: str) -> bool:
        return messages(worker).count("sent") >= 5

    # A stop gives back the mail in hand; the worker takes it up again when it comes back.
    first = start("one")
    until(lambda: is_busy(first))
    assert stop(engine, first) == 0
    assert not queue.is_done()

    # kill -9: another worker takes over what this one had in hand.
    second = start("one")
    until(lambda: is_busy(second))
    engine.docker("kill", "--signal", "KILL", second)
    assert engine.docker("wait", second).stdout.strip() == "137"

    # The queue goes away: the worker stays alive and healthy, and goes on when it is back.
    third = start("two")
    until(lambda: is_busy(third))
    queue.process.kill()
    queue.process.wait()
    until(lambda: "job failed" in messages(third))
    assert healthcheck(engine, third)
    queue.start()
    until(queue.is_done)
    assert healthcheck(engine, third)
    assert stop(engine, third) == 0

    sent = Counter(line["to"] for worker in workers for line in engine.logged(worker) if line["message"] == "sent")
    assert sent.keys() == MAILS
    # Twice at most those that were in hand when a worker was killed, or when the queue went away.
    assert sum(sent.values()) - len(MAILS) <= 2
