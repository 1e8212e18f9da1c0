"""What every type of service may do while it starts."""

import logging
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from .settings import Settings


def wait(_settings: Settings) -> None:
    """Wait for something that does not come."""
    logging.info("waiting")
    while True:
        time.sleep(0.01)


def log() -> None:
    """Log from a process of a pool."""
    logging.debug("in a pool")
    logging.info("seen")


def pool(_settings: Settings) -> None:
    """Log from a process that is started as Python 3.14 does; then end."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as executor:
        executor.submit(log).result()
    sys.exit()
