import os
from collections.abc import Callable

import pytest

from tests.runtime.processes import Process, wait_for

# `other` becomes a child of the init: such are the orphans that the kernel hands to PID 1.
SCRIPT = """
import os, signal, subprocess, sys, time
from unittest import mock
from service_runtime.init import fork_below_init

other = subprocess.Popen(["sleep", "0.2"])
with mock.patch("os.getpid", return_value=1):
    fork_below_init()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
"""


def test_nothing_happens_without_being_pid_1(start: Callable[..., Process]) -> None:
    script = "import os; pid = os.getpid(); fork_below_init(); assert os.getpid() == pid"
    assert start("-c", f"from service_runtime.init import fork_below_init; {script}").result() == (0, [], "")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("signal.raise_signal(signal.SIGKILL)", 137),
        # Many short sleeps: a signal that comes just before a sleep begins does not end that sleep.
        ("os.kill(os.getppid(), signal.SIGTERM); [time.sleep(0.05) for _ in range(1200)]", 7),
    ],
)
def test_the_init_forwards_signals_and_ends_as_its_child_does(
    start: Callable[..., Process], end: str, code: int
) -> None:
    assert start("-c", SCRIPT + end).result() == (code, [], "")


def test_the_init_reaps_orphans_and_leaves_exit_statuses_alone(start: Callable[..., Process]) -> None:
    own = "print(other.pid, flush=True); print(subprocess.call('exit 5', shell=True), flush=True)"
    process = start("-c", SCRIPT + own + "; time.sleep(60)")
    orphan = int(process.read_line())
    assert process.read_line() == "5"
    wait_for(lambda: not exists(orphan))
    process.terminate()
    assert process.result().code == 7


def test_the_init_has_a_handler_without_which_macos_would_drop_the_signal(start: Callable[..., Process]) -> None:
    """The service has none: subprocess and asyncio find the signal as they expect it."""
    tell = "print(callable(signal.getsignal(signal.SIGCHLD)), flush=True)"
    before_fork = f"""
import os, signal
fork = os.fork
def tell_and_fork():
    {tell}
    return fork()
os.fork = tell_and_fork
"""
    process = start("-c", before_fork + SCRIPT + tell)
    assert [process.read_line(), process.read_line()] == ["True", "False"]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
