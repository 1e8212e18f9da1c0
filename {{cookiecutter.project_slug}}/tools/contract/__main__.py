"""Judge an image and print the table: `python -m contract IMAGE [options of pytest]`; see the package's docstring."""

import contextlib
import io
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

import contract
from contract.image import Unusable, remove_containers
from contract.plugin import examine, promise

COLOURS = {"held": 32, "FAILED": 31, "EXCEPTED": 33, "not judged": 33}
# Ignore the pytest configuration of the project's own tests.
OPTIONS = ["--config-file", os.devnull, "--rootdir", ".", "-p", "contract.plugin", "-p", "no:cacheprovider"]
OWN_POINTS = Path("tests/image")


class Judge:
    """A plugin that collects the chosen points and the result of each."""

    def __init__(self) -> None:
        """Start with none."""
        self.points: list[str] = []
        self.rows: dict[str, list[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the points in their order."""
        self.points = [promise(item) for item in session.items] or self.points

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Print why a file can't be collected."""
        if report.failed:
            print(report.longreprtext, file=sys.stderr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a row of the table; name the report after its point, for the JUnit file."""
        file, _, name = report.nodeid.partition("::")
        point = getattr(report, "point", name)
        report.nodeid = f"{file}::{point}"
        if report.when == "call" or not report.passed:
            self.rows[point] = getattr(report, "row", ["FAILED", "the process that judges it has ended"])

    def run(self, *arguments: str) -> int:
        """Run pytest silently, except for its internal errors; return its exit status."""
        noise = io.StringIO()
        with contextlib.redirect_stdout(noise):
            status = int(pytest.main([*arguments], plugins=[self]))
        if status == pytest.ExitCode.INTERNAL_ERROR:
            print(noise.getvalue(), file=sys.stderr)
        return status

    def table(self, image: str) -> Counter[str]:
        """Print a row for each judged point and how many hold; return how often each status occurs."""
        rows = {point: self.rows[point] for point in [*self.points, *self.rows] if point in self.rows}
        for point, (status, seen, *more) in rows.items():
            word = f"\033[{COLOURS[status]}m{status:11}\033[0m" if sys.stdout.isatty() else f"{status:11}"
            print(f"{word}{point:50} {seen}", *(f"{'':11}{line}" for line in more), sep="\n")
        count = Counter(status for status, *_ in rows.values())
        others = [f", {count[status]} {status.lower()}" for status in ("EXCEPTED", "not judged") if count[status]]
        print(f"{os.environ.get('IMAGE', image)}: {count['held']} of {len(self.points)} points hold{''.join(others)}")
        return count


def main(arguments: list[str]) -> int:
    """Print the table; return the exit status."""
    if not arguments or arguments[0].startswith("-"):
        print(contract.__doc__, file=sys.stderr)
        return 2
    image, *options = arguments
    try:
        examine(image)
    except Unusable as error:
        print(f"{image} can't be examined: {error}", file=sys.stderr)
        return 2
    options = [*OPTIONS, "--image", image, *options, str(Path(__file__).parent)]
    if OWN_POINTS.exists():
        # Without tests/conftest.py, which is for the tests of the code.
        options += ["--confcutdir", str(OWN_POINTS), str(OWN_POINTS)]
    judge = Judge()
    if status := judge.run(*options, "--collect-only"):
        reason = "no point has such a name" if status == pytest.ExitCode.NO_TESTS_COLLECTED else "see above"
        print(f"{image} was not examined: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        status = judge.run("--numprocesses=2", "--dist=loadfile", *options)
    finally:
        remove_containers()
    count = judge.table(image)
    return min(status, 2) or (1 if count["not judged"] else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
