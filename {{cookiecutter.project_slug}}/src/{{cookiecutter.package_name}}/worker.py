"""The worker: one job after the other, until a stop is requested."""

import logging
import time
from collections.abc import Callable

from .healthcheck import Heartbeat
from .settings import Settings
from .stop import stop

TICK = 0.1  # seconds between two looks at `stop` while waiting

GoOn = Callable[[], bool]
Job = Callable[[GoOn], None]

logger = logging.getLogger(__name__)


def job(go_on: GoOn) -> None:
    """Do one job: an example to replace.

    Call `go_on()` between the steps of a long job: it shows that the worker is alive. Once it returns False,
    a stop is requested: finish within `shutdown_timeout`, or give back what is left.
    """
    for step in range(1, 4):
        if not go_on():
            logger.info("gave back the rest")
            return
        logger.info("did step %d", step)


def run(settings: Settings, job: Job) -> None:
    """Do jobs, `settings.interval` seconds apart, until a stop is requested; finish the one in hand first.

    An exception in a job is logged, and the next one comes after the usual wait.
    """
    heartbeat = Heartbeat(settings.heartbeat_max_age)

    def go_on() -> bool:
        heartbeat.beat()
        return not stop.requested

    logger.info("started")
    while go_on():
        try:
            job(go_on)
        except Exception:
            logger.exception("job failed")
        due = time.monotonic() + settings.interval
        while go_on() and time.monotonic() < due:
            time.sleep(TICK)
    logger.info("stopped")
