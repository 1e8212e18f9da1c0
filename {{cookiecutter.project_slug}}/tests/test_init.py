import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import PACKAGE, Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="an init is for containers")

# The kernel hands orphans to a process that asks for them (prctl 36: PR_SET_CHILD_SUBREAPER) as to PID 1.
SCRIPT = f"""
import ctypes, os, signal, subprocess, sys, time
from unittest import mock
from {PACKAGE}.init import fork_below_init

assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
with mock.patch("os.getpid", return_value=1):
    fork_below_init()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
"""
ORPHAN = """
print(subprocess.check_output("sleep 5 >/dev/null & echo $!", shell=True, text=True), end="", flush=True)
print(subprocess.call("sleep 0.1; exit 5", shell=True), flush=True)
time.sleep(5)
"""


def test_nothing_happens_without_being_pid_1(start: Callable[..., Process]) -> None:
    script = "import os; pid = os.getpid(); fork_below_init(); assert os.getpid() == pid"
    assert start("-c", f"from {PACKAGE}.init import fork_below_init; {script}").result() == (0, [], "")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("signal.raise_signal(signal.SIGKILL)", 137),
        ("os.kill(os.getppid(), signal.SIGTERM); time.sleep(5)", 7),
    ],
)
def test_the_init_forwards_signals_and_ends_as_its_child_does(
    start: Callable[..., Process], end: str, code: int
) -> None:
    assert start("-c", SCRIPT + end).result() == (code, [], "")


def test_the_init_reaps_orphans_and_leaves_exit_statuses_alone(start: Callable[..., Process]) -> None:
    process = start("-c", SCRIPT + ORPHAN)
    orphan = int(process.read_line())
    os.kill(orphan, signal.SIGKILL)
    assert process.read_line() == "5"
    deadline = time.monotonic() + 3
    while Path(f"/proc/{orphan}").exists():
        assert time.monotonic() < deadline, "a zombie stays"
        time.sleep(0.01)
    process.terminate()
    assert process.result().code == 7
