"""The worker: its loop in this process, its stop in another."""

import signal
import time
from collections.abc import Callable

import pytest

from service_runtime import health, logs
from service_runtime.loop import GoOn, run
from service_runtime.settings import WorkerSettings
from service_runtime.stop import stop
from tests.runtime.processes import Process, logged

WORKER = "sample.worker:create_job"


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

    run(job, WorkerSettings(interval=0.2))
    first, second = begins
    assert second - first >= 0.2
    failure = logged(capsys.readouterr().out)[1]
    assert failure["message"] == "job failed"
    assert failure["traceback"].endswith("RuntimeError: broken")


def test_the_worker_is_unhealthy_while_a_job_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    seen: list[bool] = []

    def job(_: GoOn) -> None:
        seen.append(health.check()[0])
        now[0] += 61
        seen.append(health.check()[0])
        stop.requested = True

    run(job, WorkerSettings())
    assert seen == [True, False]
    assert health.check()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_is_healthy_and_stops(start: Callable[..., Process], number: signal.Signals) -> None:
    process = start("-m", "sample", TEST_RUN=WORKER)
    process.read_line("did step 3")
    check = start("-m", "service_runtime.health")
    assert check.communicate()[0].startswith("healthy: heartbeat due in ")
    assert check.returncode == 0
    process.send_signal(number)
    result = process.result()
    assert (result.code, result.errors) == (0, "")
    assert result.logs[-1]["message"] == "stopped"
