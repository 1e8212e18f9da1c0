"""A worker with a job of three steps: for test_loop.py."""

import logging

from service_runtime import prepare

prepare()

from service_runtime.loop import GoOn, run
from service_runtime.settings import WorkerSettings, load


def job(go_on: GoOn) -> None:
    for step in range(1, 4):
        go_on()
        logging.info("did step %d", step)


run(job, load(WorkerSettings))
