"""The loop of a worker: one job after the other until a stop is requested."""

import logging
import time
from collections.abc import Callable

from service_runtime import health
from service_runtime.settings import WorkerSettings
from service_runtime.stop import stop

GoOn = Callable[[], bool]
Job = Callable[[GoOn], None]
logger = logging.getLogger(__name__)


def run(job: Job, settings: WorkerSettings) -> None:
    """Run jobs, `settings.interval` seconds apart, until a stop is requested; the current one finishes first.

    A job receives a function to call between the steps of long work, which shows that the worker is alive. When that
    returns False, a stop is requested: the job then finishes within `shutdown_timeout`, or gives back the rest. An
    exception in a job is logged, and the next job follows after the usual wait.
    """

    def go_on() -> bool:
        health.note(f"due {time.monotonic() + settings.heartbeat_max_age:020.6f}")
        return not stop.requested

    stop.running = True
    logger.info("started")
    while go_on():
        try:
            job(go_on)
        except Exception:
            logger.exception("job failed")
        due = time.monotonic() + settings.interval
        while go_on() and time.monotonic() < due:
            time.sleep(0.1)
    logger.info("stopped")
    stop.status = 0
