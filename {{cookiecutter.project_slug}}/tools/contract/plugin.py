"""The pytest plugin of the contract: fixtures for points, and how points are chosen, judged and reported."""

import fcntl
import inspect
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fnmatch import filter as like
from functools import cache
from pathlib import Path

import pytest

from contract.image import Broken, Image, Late

NoFile = Callable[[list[str], str], str]
point = pytest.mark.point
examine = cache(Image)


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> Image:
    """The image."""
    return examine(pytestconfig.getoption("image"))


@pytest.fixture
def no_file(request: pytest.FixtureRequest, image: Image) -> NoFile:
    """A function that fails for the paths given to it, except those in pyproject.toml; it returns what was seen."""
    exception = image.terms["except"].get(promise(request.node))
    reasons: dict[str, str] = exception if isinstance(exception, dict) else {}

    def judge(found: list[str], seen: str) -> str:
        excepted = {pattern: like(found, pattern) for pattern in reasons}
        none_of([path for path in found if not any(path in paths for paths in excepted.values())])
        for pattern, paths in excepted.items():
            note = f"except {', '.join(paths)}: {reasons[pattern]}" if paths else f"{pattern} is no longer needed here"
            seen = f"{seen}; {note}"
        return seen

    return judge


def none_of(found: list[str]) -> None:
    """Fail with the first five of the things found, if there are any."""
    if found:
        raise Broken(", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else ""))


def promise(item: pytest.Item) -> str:
    """Return the name of a point: the promise in its marker, or else the name of the test."""
    mark = item.get_closest_marker("point")
    test, bracket, case = item.name.partition("[")
    return f"{mark.args[0] if mark else test}{bracket}{case}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the image."""
    parser.addoption("--image", required=True)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "point(promise, fix, only): only='server' or 'jobs' is for an image that does that"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the points for the other kind of image; mark those that pyproject.toml excepts."""
    image = examine(config.getoption("image"))
    kind = "server" if image.serves else "jobs"
    marks = {item: item.get_closest_marker("point") for item in items}
    items[:] = [item for item, mark in marks.items() if not mark or mark.kwargs.get("only", kind) == kind]
    points: dict[str, pytest.Item] = {}
    for item in items:
        name = promise(item)
        if (other := points.setdefault(name, item)) is not item:
            raise pytest.UsageError(f"two points have the same name, {name!r}: {other.nodeid} and {item.nodeid}")
        item.extra_keyword_matches.add(name)
    for name, reason in image.terms["except"].items():
        if name not in points:
            allowed = "\n    ".join(points)
            raise pytest.UsageError(f"[tool.image-contract] except: {name!r} is no point; there are\n    {allowed}")
        if isinstance(reason, str):
            points[name].add_marker(pytest.mark.xfail(reason=reason))
        elif "no_file" not in getattr(points[name], "fixturenames", ()):
            raise pytest.UsageError(f"[tool.image-contract] except: {name!r} is not about files; allowed: a reason")


@contextmanager
def turn(kind: int) -> Iterator[None]:
    """Hold a lock: LOCK_SH shared with other processes, LOCK_EX alone."""
    with Path(__file__).open() as file:
        fcntl.flock(file, kind)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Call a point and keep what it returns; if it was late, try three times more while nothing else runs."""
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    for times_left, kind in ((3, fcntl.LOCK_SH), (2, fcntl.LOCK_EX), (1, fcntl.LOCK_EX), (0, fcntl.LOCK_EX)):
        with turn(kind):
            try:
                pyfuncitem.user_properties.append(("seen", str(pyfuncitem.obj(**arguments) or "")))
                break
            except Late:
                if not times_left:
                    raise
        arguments["image"] = Image(pyfuncitem.config.getoption("image"))  # without what the first one has kept
    return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the point's name and its row of the table to the report: status, what was seen, more lines."""
    report = yield
    mark = item.get_closest_marker("point")
    error = call.excinfo.value if call.excinfo else None
    seen = words(error) if error else str(dict(item.user_properties).get("seen", ""))
    reason = getattr(report, "wasxfail", "")
    if report.passed:
        row = ["held", f"{seen}; its exception is no longer needed" if reason else seen]
    elif report.skipped:
        row = ["EXCEPTED", seen, f"reason: {reason}"] if reason else ["not judged", seen]
    else:
        fix = getattr(error, "fix", "") or (mark.kwargs.get("fix") if mark else "") or f"see {item.nodeid}"
        row = ["FAILED", seen, f"fix: {fix}"]
        if isinstance(error, AssertionError):
            report.longrepr = "\n".join(row[1:])  # rather than a traceback
    vars(report).update(point=promise(item), row=row)
    return report


def words(error: BaseException) -> str:
    """Return the first line of an error's text."""
    text = str(error).partition("\n")[0]
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no end after {error.timeout:.0f} s"
    return text if isinstance(error, AssertionError | pytest.skip.Exception) else f"{type(error).__name__}: {text}"
