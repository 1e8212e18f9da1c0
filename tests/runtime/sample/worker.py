"""A worker with a job of three steps."""

import logging

from service_runtime.loop import GoOn, Job

from .settings import Settings


def create_job(_settings: Settings) -> Job:
    """Return the job."""

    def job(go_on: GoOn) -> None:
        for step in range(1, 4):
            go_on()
            logging.info("did step %d", step)

    return job
