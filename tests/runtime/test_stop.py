import asyncio
import signal
from collections.abc import Callable

import pytest

from service_runtime.stop import Stop
from tests.runtime.processes import Process

# Many short sleeps, since Python handles a signal that comes just before a sleep begins only after it.
SCRIPT = """
import sys, time
from service_runtime import logs
from service_runtime.stop import stop
logs.configure()
stop.timeout, stop.status, stop.running = float(sys.argv[1]), int(sys.argv[2]), True
stop.listen()
print(1, flush=True)
while not stop.requested:
    time.sleep(0.01)
print(2, flush=True)
while True: time.sleep(0.01)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(start: Callable[..., Process], number: signal.Signals) -> None:
    process = start("-c", SCRIPT, "60", "1")
    for _ in range(2):
        process.read_line()
        process.send_signal(number)
    assert process.result().code == 128 + number


@pytest.mark.parametrize("status", [0, 1])
def test_what_hangs_is_ended_when_the_time_is_up_and_the_log_says_where(
    start: Callable[..., Process], status: int
) -> None:
    process = start("-c", SCRIPT, "0.3", str(status))
    process.read_line()
    process.send_signal(signal.SIGTERM)
    process.read_line("2")
    result = process.result()
    assert (result.code, result.errors) == (status, "")
    [line] = result.logs
    assert line["message"] == "the stop took too long"
    assert "line 12, in <module>" in "".join(line["threads"])


def test_python_itself_may_hang(start: Callable[..., Process]) -> None:
    """While a thread keeps the interpreter's lock, faulthandler still ends the process."""
    hang = "import ctypes; ctypes.PyDLL(None).sleep(60)"
    process = start("-c", SCRIPT.replace("print(2, flush=True)", f"print(2, flush=True)\n{hang}"), "0.1", "1")
    process.read_line()
    process.send_signal(signal.SIGTERM)
    result = process.result()
    assert result.code == 1
    assert "Timeout" in result.errors


WAIT = """
import asyncio
from service_runtime.stop import stop
stop.listen()
stop.running = True

async def main():
    print("waiting", flush=True)
    await stop.wait()
    stop.request(failed=True)

asyncio.run(main())
print("over", stop.failed)
"""


def test_code_on_an_event_loop_can_wait_for_the_stop(start: Callable[..., Process]) -> None:
    process = start("-c", WAIT)
    assert process.read_line() == "waiting"
    process.terminate()
    assert process.read_line() == "over True"
    assert process.wait(60) == 0


def test_code_can_wait_for_the_stop() -> None:
    stop = Stop()

    async def main() -> None:
        waiting = asyncio.create_task(stop.wait())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        stop.requested = True
        await waiting

    asyncio.run(main())
