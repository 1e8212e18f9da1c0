import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service_runtime import heartbeat
from service_runtime.heartbeat import Heartbeat, check
from tests.runtime.processes import Process


def test_a_late_heartbeat_is_unhealthy_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    sign = Heartbeat(max_age=9)
    assert check() == (True, "heartbeat due in 9.0 s")
    monkeypatch.setattr(time, "monotonic", lambda: 110.0)
    assert check() == (False, "heartbeat due in -1.0 s")
    sign.beat()
    assert check() == (True, "heartbeat due in 9.0 s")


def test_a_wall_clock_that_jumps_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    Heartbeat(max_age=9)
    monkeypatch.setattr(time, "time", lambda: 0)
    os.utime(heartbeat.HEARTBEAT, (0, 0))
    assert check()[0]


def test_the_file_never_grows_or_moves() -> None:
    sign = Heartbeat(max_age=9)
    before = heartbeat.HEARTBEAT.stat()
    sign.beat()
    after = heartbeat.HEARTBEAT.stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)


def test_no_heartbeat_or_a_broken_one_is_unhealthy() -> None:
    assert check()[1].startswith("no heartbeat: ")
    heartbeat.HEARTBEAT.write_text("x")
    assert check() == (False, "no heartbeat: could not convert string to float: 'x'")


def test_its_check_loads_little_since_it_runs_all_the_time(start: Callable[..., Process]) -> None:
    loads = "import sys, collections.abc, pathlib; bare = {*sys.modules}"
    process = start("-c", f"{loads}; import service_runtime.heartbeat; print(*{{*sys.modules}} - bare)")
    assert set(process.communicate()[0].split()) == {
        "service_runtime",
        "service_runtime.health",
        "service_runtime.heartbeat",
    }


def test_a_place_that_cannot_be_written_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT", Path("/proc/heartbeat"))
    with pytest.raises(OSError, match="/proc/heartbeat"):
        Heartbeat(max_age=9)
