import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service_runtime import health
from tests.runtime.processes import Process

WELL, ILL = (True, "well"), (False, "ill")
pytestmark = pytest.mark.skipif(not Path("/proc/1/stat").exists(), reason="containers alone have a HEALTHCHECK")


@pytest.fixture(autouse=True)
def _shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TOLD", tmp_path / "told")
    monkeypatch.setattr(health, "PAUSE", 0)


def answers(*given: tuple[bool, str]) -> Iterator[tuple[bool, str]]:
    """Return answers of a check: a question too many is an error."""
    return iter(given)


def test_the_first_check_that_finds_it_well_says_so_at_once() -> None:
    assert health.watch(answers(ILL).__next__) == ILL
    assert health.watch(answers(WELL).__next__) == WELL


def test_later_ones_ask_on_until_it_is_not_well() -> None:
    health.watch(answers(WELL).__next__)
    rest = answers(WELL, WELL, WELL, ILL, WELL)
    assert health.watch(rest.__next__) == ILL
    assert [*rest] == [WELL]
    # A service that is well again is so at once.
    assert health.watch(answers(WELL).__next__) == WELL


def test_they_ask_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    health.watch(answers(WELL).__next__)
    monkeypatch.setattr("time.monotonic", iter([0.0, 1.0, 2.0, health.WATCH + 1]).__next__)
    assert health.watch(answers(WELL, WELL, WELL).__next__) == WELL


@pytest.mark.parametrize("text", ["", "of another start"])
def test_a_file_of_before_tells_nothing(text: str) -> None:
    health.TOLD.write_text(text)
    assert health.watch(answers(WELL).__next__) == WELL


def test_without_a_place_to_note_it_every_check_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TOLD", Path("/proc/told"))
    for _ in range(2):
        assert health.watch(answers(WELL).__next__) == WELL


@pytest.mark.parametrize("arguments", [[], ["--watch"]])
def test_the_status_and_a_line_say_it(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check", *arguments])
    for answer, line in ((ILL, "unhealthy: ill\n"), (WELL, "healthy: well\n")):
        with pytest.raises(SystemExit) as ended:
            health.report(answers(answer).__next__)
        assert bool(ended.value.code) != answer[0]
        assert capsys.readouterr().out == line


def test_it_loads_little(start: Callable[..., Process]) -> None:
    loads = "import sys, collections.abc, pathlib; bare = {*sys.modules}"
    process = start("-c", f"{loads}; import service_runtime.health; print(*{{*sys.modules}} - bare)")
    assert set(process.communicate()[0].split()) == {"service_runtime", "service_runtime.health"}
