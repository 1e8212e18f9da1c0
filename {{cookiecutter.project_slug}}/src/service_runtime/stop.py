"""The stop that SIGTERM or SIGINT asks for."""

import faulthandler
import os
import signal
from collections.abc import Callable
from types import FrameType


class Stop:
    """Whether the service has been asked to stop, and how many seconds it may take over it.

    With a `delay`, in seconds as well, a server takes requests for that long before.
    """

    requested = False
    delay = 0.0
    timeout = 8.0

    def __init__(self) -> None:
        """Start with nobody who waits."""
        self._wake: set[Callable[[], object]] = set()

    async def wait(self) -> None:
        """Return when a stop has been requested."""
        # Not at the top: the init would keep it in memory.
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
        """Let SIGTERM and SIGINT ask for the stop, from now on."""
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """Take note of the first signal; a second one ends the process at once, with 128+n."""
        if self.requested:
            os._exit(128 + number)
        self.requested = True
        for wake in self._wake:
            wake()
        # When the time is up, a thread outside Python's control prints what every thread hangs on, and exits
        # with 1: that works even when Python itself hangs.
        faulthandler.dump_traceback_later(self.delay + self.timeout, exit=True)


stop = Stop()
