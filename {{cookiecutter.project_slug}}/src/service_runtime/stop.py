"""The stop that SIGTERM or SIGINT asks for."""

import faulthandler
import os
import signal
from types import FrameType


class Stop:
    """Whether the service has been asked to stop, and how many seconds it may take over it."""

    requested = False
    timeout = 20.0

    def listen(self) -> None:
        """Let SIGTERM and SIGINT ask for the stop, from now on."""
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """Take note of the first signal; a second one ends the process at once, with 128+n."""
        if self.requested:
            os._exit(128 + number)
        self.requested = True
        # When the time is up, a thread outside Python's control prints what every thread hangs on, and exits
        # with 1: that works even when Python itself hangs.
        faulthandler.dump_traceback_later(self.timeout, exit=True)


stop = Stop()
