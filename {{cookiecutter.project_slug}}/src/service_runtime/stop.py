"""The stop that SIGTERM or SIGINT requests."""

import faulthandler
import os
import signal
from collections.abc import Callable
from types import FrameType


class Stop:
    """Whether a stop is requested, and how many seconds it may take.

    With a `delay`, also in seconds, a server first takes requests for that long.
    """

    requested = False
    delay = 0.0
    timeout = 8.0

    def __init__(self) -> None:
        """Start without a waiting task."""
        self._wake: set[Callable[[], object]] = set()

    async def wait(self) -> None:
        """Return when a stop is requested."""
        # Not at the top: imports there would stay in the init's memory.
        import asyncio
        from functools import partial

        event = asyncio.Event()
        # The signal comes while the loop sleeps.
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, event.set)
        self._wake.add(wake)
        try:
            if not self.requested:
                await event.wait()
        finally:
            self._wake.discard(wake)

    def listen(self) -> None:
        """From now on, let SIGTERM and SIGINT request the stop."""
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """Record the first signal; a second one ends the process at once, with 128+n."""
        if self.requested:
            os._exit(128 + number)
        self.requested = True
        for wake in self._wake:
            wake()
        # When the time is up, a thread outside of Python prints the traceback of every thread and exits with 1, even if
        # Python itself hangs.
        faulthandler.dump_traceback_later(self.delay + self.timeout, exit=True)


stop = Stop()
