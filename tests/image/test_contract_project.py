"""The contract knows what a project says about itself: its settings, its exceptions, points of its own."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.contract import COMMAND, ENVIRONMENT, broken, judge, red, table
from tests.helpers.engine import Build, Engine
from tests.helpers.project import Bake, Project, run


def required_setting(project: Project) -> None:
    """Add a setting without a default."""
    project.append(f"src/{project.package}/settings.py", "\n    database_url: SecretStr\n")
    project.replace(
        f"src/{project.package}/settings.py",
        "from service_runtime",
        "from pydantic import SecretStr\n\nfrom service_runtime",
    )


def test_required_setting(bake: Bake, engine: Engine) -> None:
    project = bake()
    required_setting(project)
    image, _ = engine.build(project, "--build-arg", "VERSION=0.1.0")
    rows = table(judge(project, image))
    found = {point: row.seen for point, row in rows.items() if row.status == "not judged"}
    assert found.keys() == red(rows).keys() == {*filter(NEEDS_THE_SERVICE.match, rows)}
    (seen,) = {*found.values()}
    assert "wrong settings: DATABASE_URL is missing" in seen
    assert seen.endswith("; give it a value: settings in [tool.image-contract]")

    project.replace("pyproject.toml", "settings = {}", 'settings = { DATABASE_URL = "postgresql://placeholder" }')
    assert red(table(judge(project, image, "-k", "hardened or port or ready: or logs: or wrong"))) == {}


NEEDS_THE_SERVICE = re.compile("start:|ready:|health:|logs:|stop:|settings: honours")
SIZE, NO_TOOL = "size: within the budget", "files: no tool, package manager or cache"


@pytest.fixture
def project(bake: Bake) -> Project:
    """A project to edit."""
    return bake()


def agree(project: Project, line: str) -> None:
    """Add a line to the exceptions."""
    project.replace("pyproject.toml", "\n[tool.image-contract.except]\n", f"\n[tool.image-contract.except]\n{line}\n")


def test_exceptions(project: Project, build: Build, engine: Engine, tmp_path: Path) -> None:
    git = broken(engine, build()[1], tmp_path, "RUN touch /usr/bin/git /usr/bin/pip3 && chmod u+s /usr/bin/git")
    agree(project, f'"{SIZE}" = "one day"\n"{NO_TOOL}" = {{ "*/bin/git" = "it clones", "*/bin/g?*" = "it does not" }}')
    select = ("-k", "size: or manager or setuid")
    # No longer needed; and a file that is excepted lets no other one pass, nor passes another point.
    rows = table(judge(project, git, *select))
    assert red(rows) == {NO_TOOL: "usr/bin/pip3", "files: none setuid or setgid": "usr/bin/git"}
    assert rows[SIZE].seen.endswith("; its exception is no longer needed")
    # Needed.
    project.replace("pyproject.toml", "app = 1,", "app = 0.001,")
    project.replace("pyproject.toml", '"*/bin/g?*" = "it does not"', '"*/bin/pip3" = "it installs", "*/bin/cc" = "?"')
    agree(project, '"files: none setuid or setgid" = "a test"')
    done = judge(project, git, *select)
    rows = table(done)
    assert {point: (row.status, row.more) for point, row in rows.items()} == {
        "files: none setuid or setgid": ("EXCEPTED", "a test"),
        NO_TOOL: ("held", ""),
        SIZE: ("EXCEPTED", "one day"),
    }
    assert rows[NO_TOOL].seen == (
        "none; except usr/bin/git: it clones; except usr/bin/pip3: it installs; */bin/cc is no longer needed here"
    )
    assert done.stdout.endswith(": 1 of 3 points hold, 2 EXCEPTED\n")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pids = 64", "pid = 64", "[tool.image-contract] has budget, cpus, except, memory, pid, "),
        ("pids = 64", "", "; needed: settings, start-seconds, memory, cpus, pids, "),
        ("[tool.image-contract", "[tool.nothing", "; needed: settings, "),
    ],
)
def test_wrong_terms(project: Project, old: str, new: str, message: str) -> None:
    text = project.read("pyproject.toml")
    project.write("pyproject.toml", text.replace(old, new))
    done = judge(project, "no-such-image")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"stop: never" = "why"', "'stop: never' is no point; there are\n    user: a number, not root\n"),
        ('"stop: the job in hand is finished or given back" = "why"', "is no point; there are"),
        (f'"{SIZE}" = {{ "*/x" = "why" }}', f"{SIZE!r} is not about files; allowed: a reason"),
    ],
)
def test_exception_of_nothing(project: Project, build: Build, line: str, message: str) -> None:
    agree(project, line)
    done = judge(project, build()[1])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_what_can_not_be_examined(project: Project, build: Build, tmp_path: Path) -> None:
    hint = "Run this in the project's folder, after `make image`; "
    elsewhere = run(
        *COMMAND, "x", cwd=tmp_path, env={**ENVIRONMENT, "PYTHONPATH": str(project.path / "tools")}, check=False
    )
    for done, message in {
        judge(project, "no-such-image"): "no-such-image can't be examined: docker image: ",
        judge(
            project, "x", engine="no-such-engine"
        ): "x can't be examined: [Errno 2] No such file or directory: 'no-such-",
        elsewhere: "x can't be examined: [Errno 2] No such file or directory: 'pyproject.toml'",
    }.items():
        assert done.returncode == 2
        assert message in done.stderr
        assert hint in done.stderr
        assert "Traceback" not in done.stderr
    done = judge(project, build()[1], "-k", "nonsense")
    assert done.returncode == 2
    assert "no point has such a name" in done.stderr


# --- points of a team's own ---

OWN = """\
import pytest

from contract.image import Image


@pytest.mark.point("greeting: knows names", fix="app.py: the route /greeting")
def test_greeting(image: Image) -> str:
    with image.running() as container:
        assert container.get(8000, "/greeting?name=you") == [200]
        assert container.get(8000, "/nowhere") == [404]
    return "200"
"""
WRONG = """

@pytest.mark.point("greeting: is everywhere", fix="app.py: a route for all")
def test_nowhere(image: Image) -> None:
    with image.running() as container:
        assert container.get(8000, "/nowhere") == [200]


@pytest.mark.parametrize("word", ["one", "two"])
def test_wrong(word: str) -> None:
    assert word == "one"
    raise KeyError("image")
"""


def test_own_points(project: Project, build: Build) -> None:
    image = build()[1]
    project.write("tests/image/test_greeting.py", OWN + WRONG)
    assert table(judge(project, image, "-k", "user: or greeting")) == {
        "user: a number, not root": ("held", "10001:10001", ""),
        "greeting: knows names": ("held", "200", ""),
        "greeting: is everywhere": ("FAILED", "assert [404] == [200]", "app.py: a route for all"),
        "test_wrong[one]": ("FAILED", "KeyError: 'image'", "see tests/image/test_greeting.py::test_wrong[one]"),
        "test_wrong[two]": ("FAILED", "assert 'two' == 'one'", "see tests/image/test_greeting.py::test_wrong[two]"),
    }
    project.write("tests/image/test_more.py", "import nonsense")
    done = judge(project, image, "-k", "user:")
    assert done.returncode == 2
    assert "No module named 'nonsense'" in done.stderr


def test_own_points_pass_the_project_s_own_checks(project: Project) -> None:
    """And `make test` leaves them alone: it has no image."""
    project.write("tests/image/test_greeting.py", OWN)
    run("ruff", "check", ".", cwd=project.path)
    run("ruff", "format", "--check", ".", cwd=project.path)
    run("mypy", "tests/image", cwd=project.path)
    addopts = tomllib.loads(project.read("pyproject.toml"))["tool"]["pytest"]["ini_options"]["addopts"].split()
    options = [word for word in addopts if not word.startswith("--cov")]  # a plugin that is not installed here
    command = (sys.executable, "-m", "pytest", "--override-ini=addopts=", "--collect-only", "--quiet", *options)
    collected = run(*command, cwd=project.path, env={"PYTHONPATH": "src:tools"}).stdout
    assert "test_app.py" in collected
    assert "test_greeting.py" not in collected
    project.write("tests/image/test_greeting.py", OWN.replace(" -> str", ""))
    assert run("mypy", "tests/image", cwd=project.path, check=False).returncode == 1
