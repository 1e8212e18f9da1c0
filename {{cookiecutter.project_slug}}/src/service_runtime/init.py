"""A minimal init: keeps PID 1 for signals and orphans, and lets the service be its child.

In a container the service is PID 1: the kernel hands it every orphaned process, and each stays a zombie until
it is waited for. Waiting for unknown children inside the service would take exit statuses away from
`subprocess` and `asyncio`.
"""

import os
import signal
import sys


def fork_below_init() -> None:
    """As PID 1, return in a child and stay behind as its init; do nothing as any other process.

    The init hands every signal on to the child, reaps orphans, and ends with the child's exit status, or with
    128+n when signal n ended the child. Call it before the heavy imports: the init keeps what is loaded.
    """
    if os.getpid() != 1:
        return
    # Blocked signals wait for sigwait, even those that the kernel would not deliver to PID 1.
    signals = signal.valid_signals()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # Never called, but without a handler, macOS drops this signal before sigwait sees it.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A session of its own: Ctrl-C in a terminal reaches only the init, so the child receives it once.
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return
    while True:
        received = signal.sigwait(signals)
        if received != signal.SIGCHLD:
            os.kill(child, received)
        elif (status := _reap(child)) is not None:
            sys.exit(status)


def _reap(child: int) -> int | None:
    """Wait for all processes that have ended; return the status to exit with if `child` is one of them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None
