import signal
from collections.abc import Callable

import pytest

from .helpers import PACKAGE, Process

SCRIPT = f"""
import time
from {PACKAGE}.stop import stop
stop.timeout = 0.3
stop.listen()
print(1, flush=True)
while not stop.requested:
    time.sleep(0.01)
print(2, flush=True)
time.sleep(60)
"""


@pytest.fixture
def process(start: Callable[..., Process]) -> Process:
    return start("-c", SCRIPT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(process: Process, number: signal.Signals) -> None:
    for _ in range(2):
        process.read_line()
        process.send_signal(number)
    assert process.result().code == 128 + number


def test_a_process_that_hangs_is_ended_when_the_time_is_up(process: Process) -> None:
    process.read_line()
    process.send_signal(signal.SIGTERM)
    result = process.result()
    assert result.code == 1
    assert "line 10 in <module>" in result.errors  # where it hangs
