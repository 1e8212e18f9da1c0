"""The job of the worker."""

import logging

from service_runtime.loop import GoOn, Job

from .settings import Settings

logger = logging.getLogger(__name__)


def create_job(settings: Settings) -> Job:
    """Return the job that is done again and again. Open connections here."""
    logger.info("a job every %g s", settings.interval)

    def job(go_on: GoOn) -> None:
        """Do one job: an example to replace."""
        for step in range(1, 4):
            if not go_on():  # ask between the steps of long work: a stop is requested, so give back what is left
                logger.info("gave back the rest")
                return
            logger.info("did step %d", step)

    return job
