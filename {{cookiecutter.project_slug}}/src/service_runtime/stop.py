"""The stop that SIGTERM or SIGINT requests."""

import os
import signal
from types import FrameType


class Stop:
    """Whether a stop is requested, and the seconds that it may take, after a `delay` in which requests are served."""

    requested = False
    failed = False  # a failure of the service itself requests it
    running = False  # before, there is nothing to finish: a stop ends the process at once
    delay, timeout = 0.0, 8.0
    status = 1  # the exit status when the time is over

    async def wait(self) -> None:
        """Return when a stop is requested."""
        import asyncio

        while not self.requested:
            await asyncio.sleep(0.1)

    def listen(self) -> None:
        """From now on, let SIGTERM and SIGINT request the stop; a second one ends the process at once, with 128+n."""
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def request(self, *, failed: bool = False) -> None:
        """Request the stop, because of a failure of the service itself if `failed`."""
        import faulthandler
        import threading

        self.failed = self.failed or failed
        if not self.requested:
            self.requested = True
            threading.Thread(target=self._end_in_time, daemon=True).start()
            # Even if Python itself hangs, and then in plain text.
            faulthandler.dump_traceback_later(self.delay + self.timeout + 1, exit=True)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.requested:
            os._exit(128 + number)
        self.request()
        if not self.running:
            raise SystemExit(0)

    def _end_in_time(self) -> None:
        import logging
        import sys
        import time
        import traceback

        time.sleep(self.delay + self.timeout)
        threads = ["".join(traceback.format_stack(frame)) for frame in sys._current_frames().values()]
        logging.getLogger(__name__).critical("the stop took too long", extra={"threads": threads})
        os._exit(self.status)


stop = Stop()
