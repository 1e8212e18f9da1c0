"""Run a worker, whose package is named, with a job that acknowledges each step in a file, after it has logged it."""

import importlib
import itertools
import logging
import os
import runpy
import sys

from service_runtime.loop import GoOn, Job

package = sys.argv[1]


def create_job(_settings: object) -> Job:
    def job(go_on: GoOn) -> None:
        file = os.open("/acknowledged/steps", os.O_WRONLY | os.O_CREAT)
        for step in itertools.count(1):
            if not go_on():
                return
            logging.info("step", extra={"step": step})
            os.pwrite(file, b"%d" % step, 0)

    return job


importlib.import_module(f"{package}.worker").create_job = create_job  # type: ignore[attr-defined]
runpy.run_module(package, run_name="__main__")
