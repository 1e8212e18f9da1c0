"""Judge an image: `python -m contract IMAGE [options of pytest]`; see the package's docstring."""

import inspect
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import contract
from contract.image import Image, NoFile, none_of, remove_containers

# Without pytest's own output, and without the configuration of the project's own tests.
OPTIONS = ["--config-file", os.devnull, "--rootdir", ".", "-p", "no:terminal", "-p", "no:cacheprovider"]
OWN_POINTS = Path("tests/image")


def promise(item: pytest.Item) -> str:
    """Return the name of a point: the promise in its marker, or else the name of the test."""
    mark = item.get_closest_marker("point")
    test, bracket, case = item.name.partition("[")
    return f"{mark.args[0] if mark and mark.args else test}{bracket}{case}"


class _Plugin:
    """The pytest plugin: the fixtures of points, which points there are, and the table."""

    def __init__(self, image: Image) -> None:
        self.judged = image
        self.count = Counter[str]()  # how often each status occurs

    @pytest.fixture(scope="session")
    def image(self) -> Image:
        return self.judged

    @pytest.fixture
    def no_file(self, request: pytest.FixtureRequest) -> NoFile:
        """A function that fails for the paths given to it that pyproject.toml does not except; it returns `seen`."""
        exception = self.judged.terms["except"].get(promise(request.node))
        reasons: dict[str, str] = exception if isinstance(exception, dict) else {}

        def judge(found: list[str], seen: str) -> str:
            none_of([path for path in found if not any(fnmatch(path, pattern) for pattern in reasons)])
            for pattern, reason in reasons.items():
                paths = ", ".join(path for path in found if fnmatch(path, pattern))
                seen += f"; except {paths}: {reason}" if paths else f"; {pattern} is no longer needed here"
            return seen

        return judge

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the points for the other kind of image; mark those that pyproject.toml excepts."""
        other = "jobs" if self.judged.serves else "server"
        marks = {item: item.get_closest_marker("point") for item in items}
        items[:] = [item for item, mark in marks.items() if not (mark and mark.kwargs.get("only") == other)]
        points = {promise(item): item for item in items}
        for name, item in points.items():
            item.extra_keyword_matches.add(name)  # for -k
        for name, reason in self.judged.terms["except"].items():
            if name not in points:
                raise pytest.UsageError("\n    ".join([f"except: {name!r} is no point; there are", *points]))
            if isinstance(reason, str) and reason.strip():
                points[name].add_marker(pytest.mark.xfail(reason=reason))
            elif "no_file" not in getattr(points[name], "fixturenames", ()):
                raise pytest.UsageError(f"except: {name!r} is not about files; allowed: a reason")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(report.longreprtext, file=sys.stderr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Call a point, and keep what it returns."""
        names = inspect.signature(pyfuncitem.obj).parameters
        seen = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        pyfuncitem.user_properties.append(("seen", seen or ""))
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Print a point's row of the table; name the report after the point, for the JUnit file."""
        report = yield
        error, mark = call.excinfo and call.excinfo.value, item.get_closest_marker("point")
        reason, more, status = getattr(report, "wasxfail", ""), list[str](), "held"
        seen = f"{dict(item.user_properties).get('seen', '')}{'; its exception is no longer needed' if reason else ''}"
        if error:
            is_told = isinstance(error, AssertionError | pytest.skip.Exception)
            seen = ("" if is_told else f"{type(error).__name__}: ") + str(error).partition("\n")[0]
        if report.skipped and reason:
            status, more = "EXCEPTED", [f"reason: {reason}"]
        elif report.skipped:
            status, report.outcome, report.longrepr = "not judged", "failed", seen
        elif report.failed:
            fix = (mark.kwargs.get("fix") if mark else "") or f"see {item.nodeid}"
            status, more = "FAILED", [f"fix: {fix}"]
            if isinstance(error, AssertionError):
                report.longrepr = "\n".join([seen, *more])  # rather than a traceback
        report.nodeid = f"{report.nodeid.partition('::')[0]}::{promise(item)}"
        if report.when == "call" or not report.passed:
            self.count[status] += 1
            print(f"{status:11}{promise(item):50} {seen}", *(f"{'':11}{line}" for line in more), sep="\n", flush=True)
        return report

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Print how many points hold."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            print("no point has such a name", file=sys.stderr)
        if self.count:
            others = "".join(f", {number} {status}" for status, number in self.count.items() if status != "held")
            name = os.environ.get("IMAGE", self.judged.name)
            print(f"{name}: {self.count['held']} of {len(session.items)} points hold{others}")


def main(arguments: list[str]) -> int:
    """Print the table; return the exit status."""
    if not arguments or arguments[0].startswith("-"):
        print(contract.__doc__, file=sys.stderr)
        return 2
    image, *options = arguments
    # Without tests/conftest.py, which is for the tests of the code.
    own = ["--confcutdir", str(OWN_POINTS), str(OWN_POINTS)] if OWN_POINTS.exists() else []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        return min(2, pytest.main([*OPTIONS, *options, str(Path(__file__).parent), *own], [_Plugin(Image(image))]))
    except pytest.UsageError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        remove_containers()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
