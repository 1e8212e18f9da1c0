import signal
from collections.abc import Callable

import pytest

from tests.runtime.processes import Process

# Many short sleeps, since Python handles a signal that comes just before a sleep begins only after it.
SCRIPT = """
import sys, time
from service_runtime.stop import stop
stop.timeout = float(sys.argv[1])
stop.listen()
print(1, flush=True)
while not stop.requested:
    time.sleep(0.01)
print(2, flush=True)
while True: time.sleep(0.01)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(start: Callable[..., Process], number: signal.Signals) -> None:
    process = start("-c", SCRIPT, "60")
    for _ in range(2):
        process.read_line()
        process.send_signal(number)
    assert process.result().code == 128 + number


def test_a_process_that_hangs_is_ended_when_the_time_is_up(start: Callable[..., Process]) -> None:
    process = start("-c", SCRIPT, "0.3")
    process.read_line()
    process.send_signal(signal.SIGTERM)
    result = process.result()
    assert result.code == 1
    assert "line 10 in <module>" in result.errors  # where it hangs


WAIT = """
import asyncio
from service_runtime.stop import stop
stop.listen()

async def main():
    first = asyncio.create_task(stop.wait())
    await asyncio.sleep(0)
    print("waiting", flush=True)
    await first
    await stop.wait()

asyncio.run(main())
print("over")
"""


def test_code_on_an_event_loop_can_wait_for_the_stop(start: Callable[..., Process]) -> None:
    process = start("-c", WAIT)
    assert process.read_line() == "waiting"
    process.terminate()
    assert process.read_line() == "over"
    assert process.wait(60) == 0
