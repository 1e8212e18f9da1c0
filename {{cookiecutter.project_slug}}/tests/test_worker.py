"""The worker: its loop in this process, its stop in another."""

import signal
import time
from collections.abc import Callable

import pytest

from {{ cookiecutter.package_name }} import healthcheck, logs, worker
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.stop import stop
from {{ cookiecutter.package_name }}.worker import GoOn

from .helpers import PACKAGE, Process, logged


def test_jobs_follow_each_other_until_a_stop_even_when_one_fails(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    begins: list[float] = []

    def job(go_on: GoOn) -> None:
        begins.append(time.monotonic())
        if len(begins) == 1:
            raise RuntimeError("broken")
        assert go_on()
        stop.requested = True
        assert not go_on()

    worker.run(Settings(interval=0.2), job)
    first, second = begins
    assert second - first >= 0.2
    failure = logged(capsys.readouterr().out)[1]
    assert failure["message"] == "job failed"
    assert failure["traceback"].endswith("RuntimeError: broken")


def test_the_worker_is_unhealthy_while_a_job_hangs() -> None:
    seen: list[bool] = []

    def job(_: GoOn) -> None:
        seen.append(healthcheck.check()[0])
        time.sleep(1.1)
        seen.append(healthcheck.check()[0])
        stop.requested = True

    worker.run(Settings(heartbeat_max_age=1), job)
    assert seen == [True, False]
    assert healthcheck.check()[0]


@pytest.mark.parametrize(("steps", "last"), [(3, "did step 3"), (1, "gave back the rest")])
def test_the_example_job_gives_back_what_is_left(
    steps: int, last: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answers = iter([True] * steps + [False])
    worker.job(lambda: next(answers))
    assert caplog.messages[-1] == last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_is_healthy_and_stops_at_once(
    start: Callable[..., Process], number: signal.Signals
) -> None:
    process = start("-m", PACKAGE)
    process.read_line("did step 3")
    check = start("-m", f"{PACKAGE}.healthcheck")
    assert check.communicate()[0].startswith("healthy: heartbeat due in ")
    assert check.returncode == 0
    begin = time.monotonic()
    process.send_signal(number)
    result = process.result()
    assert (result.code, result.errors) == (0, "")
    assert result.logs[-1]["message"] == "stopped"
    assert time.monotonic() - begin < 2


def test_an_unhealthy_worker_fails_the_check(start: Callable[..., Process]) -> None:
    check = start("-m", f"{PACKAGE}.healthcheck")
    assert check.communicate()[0].startswith("unhealthy: no heartbeat: ")
    assert check.returncode == 1
