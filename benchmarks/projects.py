"""The projects that a benchmark builds: rendered from the template, and changed as a developer would change them."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from cookiecutter.main import cookiecutter

from benchmarks.engine import HERE, PYTHON, fail, say
from tests.lab.engine import docker, network

REFERENCE = HERE / "reference"
LOCKS = ("poetry.lock", "uv.lock")
PACKAGE = "reference_service"
SCENARIOS = {
    "cold": "cold build",
    "noop": "nothing changed",
    "code": "code change",
    "import": "code change, a new import",
    "bump": "version bump",
    "dev": "dev-dependency change",
    "add": "one dependency added",
    "update": "one dependency updated",
}


def render(folder: Path, service: str = "fastapi", python: str = PYTHON) -> Path:
    """Render the template into `folder`, hooks included; return the project."""
    answers = {
        "project_name": "Reference Service",
        "python_version": python,
        "service_type": service,
        "mirror": "kakao",
    }
    template = str(HERE.parent)
    return Path(
        cookiecutter(template, no_input=True, default_config=True, extra_context=answers, output_dir=str(folder))
    )


def edit(path: Path, old: str, new: str) -> None:
    """Replace the only occurrence of `old` in a file; ends with status 1 when there is not exactly one."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        fail(
            f"{path.name} of a rendered project has {old!r} {text.count(old)} times, not once: benchmarks/ must follow"
        )
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, code: str) -> None:
    """Add lines at the end of a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(code)


def depend(project: Path, requirements: Iterable[str], table: str = "dependencies") -> None:
    """Add requirements to pyproject.toml: to the project's own dependencies, or to the group named `table`."""
    lines = "".join(f'    "{requirement}",\n' for requirement in requirements)
    edit(project / "pyproject.toml", f"\n{table} = [\n", f"\n{table} = [\n{lines}")


def lock(project: Path) -> None:
    """Bring poetry.lock, and uv.lock if there is one, up to date as a developer would: what fits stays as it is."""
    index = "https://mirror.kakao.com/pypi/simple/"
    docker(
        *("run", "--rm", *network(), "-v", f"{project}:/project", "-w", "/project", "-v", "bench-locks:/root/.cache"),
        *("-e", f"POETRY_PYPI_MIRROR_URL={index}", "-e", f"UV_DEFAULT_INDEX={index}"),
        *("benchmark-tools", "sh", "-c", "poetry lock --no-interaction && if [ -e uv.lock ]; then uv lock; fi"),
    )


def locked(project: Path) -> int:
    """Return the number of packages that the project's main dependencies are locked to."""
    return sum("main" in package["groups"] for package in packages(project / "poetry.lock"))


def packages(lock_file: Path) -> list[dict[str, Any]]:
    """Return the packages in a lock file of Poetry or of uv."""
    return cast(list[dict[str, Any]], tomllib.loads(lock_file.read_text(encoding="utf-8"))["package"])


def compare_locks(project: Path) -> None:
    """End with status 1 when the two locks differ in a version: the recipes would install different things."""
    poetry, uv = ({(p["name"], p["version"]) for p in packages(project / name)} for name in LOCKS)
    if differing := sorted({name for name, _ in poetry ^ uv} - {project.name}):
        fail(f"poetry.lock and uv.lock differ in {', '.join(differing)}")


def history(project: Path) -> dict[str, Path]:
    """Return the project at each commit of a small history, by scenario; `cold` and `noop` are as given.

    Every commit makes the one change that its scenario is named for.
    """
    package = project / "src" / PACKAGE / "__init__.py"

    def commit(scenario: str) -> Path:
        return Path(shutil.copytree(project, project.parent / scenario / project.name))

    found = {"cold": commit("cold")}
    found["noop"] = found["cold"]
    append(package, '\n\ndef answer() -> int:\n    """Return what a commit may add."""\n    return 42\n')
    found["code"] = commit("code")
    append(package, "\n\nimport sched as sched\n")  # nothing else has imported that, so it is to be compiled
    found["import"] = commit("import")
    edit(project / "pyproject.toml", '\nversion = "0.1.0"', '\nversion = "0.1.1"')
    lock(project)  # uv's names the project's version
    found["bump"] = commit("bump")
    depend(project, ["pytest-mock==3.15.1"], "dev")
    lock(project)
    found["dev"] = commit("dev")
    depend(project, ["humanize==4.14.0"])
    lock(project)
    append(package, "\n\nimport humanize as humanize\n")
    found["add"] = commit("add")
    edit(project / "pyproject.toml", "humanize==4.14.0", "humanize==4.15.0")
    lock(project)
    found["update"] = commit("update")
    return found


def reference(folder: Path) -> dict[str, Path]:
    """Return the history of the reference service. Its locks are kept in reference/, where they follow the template."""
    project = render(folder)
    depend(project, (REFERENCE / "dependencies.txt").read_text(encoding="utf-8").split())
    modules = (REFERENCE / "imports.txt").read_text(encoding="utf-8").split()
    append(project / "src" / PACKAGE / "app.py", "\n\n" + "".join(f"import {module}\n" for module in modules))
    for name in LOCKS:
        shutil.copy(REFERENCE / name, project)
    lock(project)
    for name in LOCKS:
        shutil.copy(project / name, REFERENCE)
    compare_locks(project)
    say(f"the reference service has {locked(project)} locked packages")
    return history(project)


def growing(folder: Path, size: int) -> dict[str, Path]:
    """Return the history of a worker with `size` locked packages: its own, and the first ones of growth.txt.

    That list is closed at every length: what a package in it needs stands above it.
    """
    project = render(folder, "worker")
    more = (REFERENCE / "growth.txt").read_text(encoding="utf-8").split()
    depend(project, more[: size - locked(project)])
    lock(project)
    if locked(project) != size:
        fail(f"growth.txt makes {locked(project)} locked packages, not {size}")
    return history(project)
