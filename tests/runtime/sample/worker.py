"""A worker with a job of three steps; or one that waits while it starts, for a test."""

import logging
import time

from service_runtime.loop import GoOn, Job

from .settings import Settings


def create_job(_settings: Settings) -> Job:
    """Return the job."""

    def job(go_on: GoOn) -> None:
        for step in range(1, 4):
            go_on()
            logging.info("did step %d", step)

    return job


def wait(_settings: Settings) -> Job:
    """Wait for something that does not come."""
    logging.info("waiting")
    while True:
        time.sleep(0.01)
