"""Run the worker with a job of 3 s: `job.py PACKAGE KIND`.

One that `asks` is given back when a stop is requested, one that is `stubborn` is finished.
"""

import runpy
import sys
import time

from service_runtime import loop

package, kind = sys.argv[1:]
run = loop.run


def long_job(go_on: loop.GoOn) -> None:
    """Take 3 s."""
    print('{"message": "begun"}', flush=True)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if not go_on() and kind == "asks":
            print('{"message": "given back"}', flush=True)
            return
        time.sleep(0.05)
    print('{"message": "finished"}', flush=True)


# In place of the service's own job.
loop.run = lambda job, settings: run(long_job, settings)  # noqa: ARG005
runpy.run_module(package, run_name="__main__")
