"""A minimal init: PID 1 handles signals and orphans, and the service is its child.

PID 1 of a container becomes the parent of every orphaned process, and each stays a zombie until PID 1 waits for it. If
the service itself did that, `subprocess` and `asyncio` would miss the exit statuses of their own children.
"""

import os
import signal
import sys


def fork_below_init() -> None:
    """As PID 1, fork: return in the child, and be its init in the parent. Otherwise do nothing.

    The init passes every signal on to the child, reaps orphans, and ends with the child's exit status, or with 128+n if
    signal n ended the child. Call it before large imports, which would stay in the init's memory.
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
    """Reap all processes that have ended; return the status to exit with if `child` is one of them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None
