"""Run the worker with a job that takes until a stop is requested: `job.py PACKAGE KIND`.

One that `asks` is then given back, one that is `stubborn` takes 3 s more.
"""

import runpy
import sys
import time

from service_runtime import loop

package, kind = sys.argv[1:]
run = loop.run


def long_job(go_on: loop.GoOn) -> None:
    """Do it."""
    while go_on():
        time.sleep(0.05)
    if kind == "asks":
        print('{"message": "given back"}', flush=True)
        return
    for _ in range(60):
        go_on()
        time.sleep(0.05)
    print('{"message": "finished"}', flush=True)


# In place of the service's own job.
loop.run = lambda job, settings: run(long_job, settings)  # noqa: ARG005
runpy.run_module(package, run_name="__main__")
