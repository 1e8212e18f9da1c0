"""A developer's machine: which Python it has or lost, its settings in .env, what `make clean` leaves."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.combinations import CHOICES
from tests.helpers.dotenv import TEXT, VALUES
from tests.helpers.engine import GIVE_UP, until
from tests.helpers.machine import index_environment, interpreters
from tests.helpers.mirror import HOST
from tests.helpers.project import Bake, Installed, Project, run
from tests.lab.unruly import refusing

# What the service of a type says when it has started, and when it has ended; and the team's file, which a test changes.
STARTED = {"fastapi": "Application startup complete", "worker": '"started"'}
ENDED = {"fastapi": "Application shutdown complete", "worker": '"stopped"'}
FILES = {"fastapi": "app.py", "worker": "worker.py"}


def test_missing_python_is_told_in_one_line_and_locking_needs_none(bake: Bake) -> None:
    missing = [version for version in CHOICES["python_version"] if version not in interpreters()]
    if not missing:
        pytest.skip("this machine has every Python")
    project = bake(python_version=missing[0], service_type="worker")
    env = {**index_environment(), "UV_PYTHON_INSTALL_MIRROR": refusing(HOST), "UV_PYTHON_INSTALL_DIR": "pythons"}
    done = project.make("check", env=env, check=False)
    assert done.returncode != 0
    (line, of_make) = [line for line in done.stderr.splitlines() if "plain http" not in line]
    assert line.startswith(f"Python {missing[0]} is neither here nor can uv fetch it (why: ")
    assert line.endswith("UV_PYTHON_INSTALL_MIRROR")
    assert of_make.startswith("make: ***")

    shipped = project.read("poetry.lock")
    project.make("lock", env=env)
    assert project.read("poetry.lock") == shipped


def test_environments_of_a_python_that_is_gone_are_made_again(installed: Installed) -> None:
    """An upgrade by pyenv or Homebrew removes the old Python, to which the environments have links."""
    project, env = installed(next(iter(interpreters())), CHOICES["service_type"][0])
    links = [project.path / folder / "bin/python" for folder in (".venv", ".tools")]
    for link in links:
        link.unlink()
        link.symlink_to("/nowhere/python")
    project.make("install", env=env)
    assert all(link.exists() for link in links)
    assert project.make("install", env=env).stdout.strip() == "make: Nothing to be done for 'install'."


@pytest.mark.quick
def test_a_manager_of_pythons_need_not_have_that_of_the_project(bake: Bake, tmp_path: Path) -> None:
    """Its `python3` refuses to run where a file names a Python that it has not, as pyenv's does."""
    (tmp_path / "python3").write_text(f'#!/bin/sh\n[ ! -e .python-version ] || exit 127\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    makefile = ["make", "help", "--no-print-directory"]
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PYTHON")}
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    done = subprocess.run(makefile, cwd=bake().path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "  make check " in done.stdout


@pytest.mark.quick
@pytest.mark.parametrize("gone", [".tools", ".venv"])
def test_one_environment_alone_may_have_lost_its_python(bake: Bake, gone: str) -> None:
    project = bake()
    for folder in (".tools", ".venv"):
        project.write(f"{folder}/done", f"{(project.path / folder).resolve()}\n")
        (project.path / folder / "bin").mkdir()
        (project.path / folder / "bin/python").symlink_to("/nowhere/python" if folder == gone else sys.executable)
    project.make("--dry-run", "install")
    done = [folder for folder in (".tools", ".venv") if (project.path / folder / "done").exists()]
    assert done == [folder for folder in (".tools", ".venv") if folder != gone]
    (project.path / done[0] / "done").unlink()  # as where an installation has failed
    assert project.make("--dry-run", "install").stderr == ""


def test_a_moved_or_copied_checkout_makes_its_environments_anew(installed: Installed, tmp_path: Path) -> None:
    """In a copy, programs and the editable install would lead to the original: its code would be tested."""
    original, env = installed(next(iter(interpreters())), CHOICES["service_type"][0])
    run("cp", "-a", original.path, tmp_path / "copy")
    copy = Project(tmp_path / "copy", original.answers)
    copy.append(f"src/{copy.package}/app.py", "\nraise RuntimeError('this copy is tested')\n")
    done = copy.make("test", env=env, check=False)
    assert done.returncode != 0
    assert "this copy is tested" in done.stdout

    moved = Project(copy.path.rename(tmp_path / "moved"), copy.answers)
    moved.replace(f"src/{copy.package}/app.py", "this copy is tested", "it was moved")
    assert "it was moved" in moved.make("test", env=env, check=False).stdout


@pytest.mark.quick
def test_clean_removes_what_make_made_and_nothing_else(bake: Bake) -> None:
    project = bake()
    own = {*project.files(), Path(".env"), Path(".netrc"), Path("notes/todo.txt")}
    made, _, of_the_machine = project.read(".gitignore").partition("# Settings and secrets of one machine.\n")
    names = [line.replace("*", "-linux-arm64") for line in made.splitlines() if not line.startswith("#")]
    assert of_the_machine.split() == [".env", ".netrc"]
    for name in names:
        project.write(f"{name}made" if name.endswith("/") else name, "")
    for folder in ("src/service_runtime", "tests", "tools/image"):
        project.write(f"{folder}/__pycache__/made.pyc", "")
    for path in own - {*project.files()}:
        project.write(str(path), "mine")
    (project.path / "__pycache__/made").unlink()
    project.make("clean")
    assert {*project.files()} == own
    project.make("clean")


@contextlib.contextmanager
def in_terminal(project: Project, target: str, env: Mapping[str, str], log: Path) -> Iterator[Callable[[], None]]:
    """Run a target of the project's in a terminal of its own; yield what presses Ctrl-C.

    That waits until all processes have ended. What they print goes to `log`.
    """
    keyboard, terminal = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    # A suite in the background ignores Ctrl-C, which is handed down.
    command = ["env", "--default-signal=INT", "setsid", "--ctty", "make", "--no-print-directory", target]
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, cwd=project.path, env={**clean, **env}, stdin=terminal, stdout=file, stderr=file
        ) as process,
    ):

        def press_ctrl_c() -> None:
            os.write(keyboard, b"\x03")
            process.wait(GIVE_UP)
            until(lambda: run("pgrep", "--session", str(process.pid), check=False).stdout == "")

        try:
            yield press_ctrl_c
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            os.close(keyboard)
            os.close(terminal)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("wrong", ["", "C D=3", "C='open", "C=$NOWHERE", "C=${D", "C='x' y"])
@pytest.mark.parametrize("target", ["run", "dev"])
def test_lines_of_env(installed: Installed, target: str, wrong: str) -> None:
    """They mean what they mean to Compose (tests/image/test_compose.py); one that can't be read is named."""
    project, env = installed(next(iter(interpreters())), CHOICES["service_type"][0])
    file = f"src/{project.package}/__main__.py"
    source = project.read(file)
    # Ends `make dev` as well, which would wait for a change.
    ending = (
        "import json, os, signal; print(json.dumps(dict(os.environ)), flush=True); os.kill(os.getppid(), signal.SIGINT)"
    )
    project.write(file, ending if target == "dev" else ending.rpartition(";")[0])
    project.write(".env", f"A='1\n2'\n{wrong}\nB=2\n" if wrong else TEXT)
    try:
        done = project.make(target, env={**env, "EMPTY": ""}, check=False)
    finally:
        project.write(file, source)
        (project.path / ".env").unlink()
    if wrong:
        assert done.returncode != 0
        assert ".env, line 3 can't be read; allowed: NAME=value" in done.stderr
    else:
        told = json.loads(next(text for text in done.stdout.splitlines() if text.startswith("{")))
        assert {name: told.get(name) for name in VALUES} == VALUES


@pytest.mark.parametrize("service", CHOICES["service_type"])
@pytest.mark.parametrize("target", ["run", "dev"])
def test_service_runs_here_with_the_settings_in_env(
    installed: Installed, tmp_path: Path, target: str, service: str
) -> None:
    """`make dev` starts it again when a file is saved; Ctrl-C ends either."""
    project, env = installed(next(iter(interpreters())), service)
    port, log = free_port(), tmp_path / "log"
    # The value in the environment counts more.
    settings = f'HOST=127.0.0.1\nPORT={port}\nINTERVAL=0.25\nLOG_LEVEL="CRITICAL"\n'
    said = {"fastapi": f"127.0.0.1:{port}", "worker": "a job every 0.25 s"}[service]
    file = f"src/example_service/{FILES[service]}"
    source = project.read(file)
    project.write(".env", settings)
    try:
        with in_terminal(project, target, {**env, "LOG_LEVEL": "INFO"}, log) as press_ctrl_c:
            until(lambda: STARTED[service] in log.read_text())
            assert said in log.read_text()
            if target == "dev":
                project.write(file, source.replace('"""', '"""Changed. ', 1))
                until(lambda: log.read_text().count(STARTED[service]) == 2)
            press_ctrl_c()
    finally:
        project.write(file, source)
        (project.path / ".env").unlink()
    # Not that of `make dev` at its end: a reloader hands Ctrl-C on, so the service hears it twice, and hurries.
    assert log.read_text().count(ENDED[service]) >= 1
