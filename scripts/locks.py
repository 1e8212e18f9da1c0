"""Regenerate every lock file of the repository, and report what changed: `make locks`.

    templates/locks/<Python version>-<service type>.lock    the poetry.lock that a new project ships
    {{cookiecutter.project_slug}}/tools/pins/*.txt          the tools of a project's build and checks, with hashes
    poetry.lock, requirements/{new,dev}.txt                 this repository's own tools
    tests/lab/devpi.txt                                     an organisation's package index, for the lab

Versions come from the package index that PYPI_MIRROR names (a simple index, for every tool), or from upstream.
Exit status 1 if a file can't be made; those made before it stay, and each is written completely or not at all.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
LOCKS = ROOT / "templates" / "locks"
OVERRIDES = ROOT / "scripts" / "overrides.txt"
HEADER = "# Made by the template's 'make locks'; newer versions come with template updates.\n"
TOOLS = {
    "uv": ["uv"],
    "poetry": ["poetry", "poetry-plugin-pypi-mirror"],
    # What packages without a wheel are built with, most often.
    "build-backends": ["flit-core", "hatchling", "pdm-backend", "poetry-core", "setuptools", "setuptools-scm", "wheel"],
}
# What Poetry's code needs to read a lock file: of the pins for Poetry.
LOCK_READER = ("packaging", "poetry", "poetry-core", "tomlkit")
POETRY = [sys.executable, "-P", str(PROJECT / "tools/poetry_anywhere.py")]


def run(*command: str, cwd: Path = ROOT) -> str:
    """Return what `command` prints; end with its own error when it fails."""
    env = dict(os.environ)
    if mirror := env.get("PYPI_MIRROR"):
        env |= {"POETRY_PYPI_MIRROR_URL": mirror, "UV_DEFAULT_INDEX": mirror}
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"locks: {' '.join(command[-4:])} failed in {cwd}\n{done.stdout}")
    return done.stdout


def versions(text: str) -> dict[str, str]:
    """Return name -> version of the packages in a poetry.lock or a requirements file."""
    found = re.findall(r'^name = "(.+)"\nversion = "(.+)"', text, re.MULTILINE)
    return dict(found or re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def write(path: Path, text: str) -> None:
    """Write `text` to `path` and print what changed in it."""
    old = versions(path.read_text(encoding="utf-8")) if path.exists() else {}
    new = versions(text)
    if not new:
        sys.exit(f"locks: {path} would be empty; the old one stays")
    changes = [f"+ {name} {new[name]}" for name in sorted(new.keys() - old.keys())]
    changes += [f"- {name} {old[name]}" for name in sorted(old.keys() - new.keys())]
    changes += [f"  {n} {old[n]} -> {new[n]}" for n in sorted(new.keys() & old.keys()) if new[n] != old[n]]
    print(path.relative_to(ROOT), *(changes or ["unchanged"]), sep="\n    ", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def combinations() -> Iterator[tuple[str, str]]:
    """Yield every Python version with every service type that cookiecutter.json offers."""
    answers = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    for version in answers["python_version"]:
        for service in answers["service_type"]:
            yield version, service


def lock_project(version: str, service: str) -> None:
    """Lock a project rendered with these two answers; no other answer enters the lock."""
    path = LOCKS / f"{version}-{service}.lock"
    with tempfile.TemporaryDirectory() as folder:
        path.touch()  # rendering includes it
        answers = {"python_version": version, "service_type": service}
        rendered = Path(
            cookiecutter(
                str(ROOT),
                no_input=True,
                default_config=True,
                accept_hooks=False,  # they check the lock that is made here
                output_dir=folder,
                extra_context=answers,
            )
        )
        (rendered / "poetry.lock").unlink()
        run(*POETRY, "lock", cwd=rendered)
        write(path, (rendered / "poetry.lock").read_text(encoding="utf-8"))


def compiled(requirements: list[str], *options: str) -> str:
    """Return a requirements file with the newest versions of `requirements` and of what they need."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "tools.in"
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        return run("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", *options, str(wanted))


def lock_tools(requirements: list[str], path: Path) -> None:
    """Pin `requirements` and what they need for every Python that is offered, with hashes."""
    oldest = min((version for version, _ in combinations()), key=lambda v: [int(part) for part in v.split(".")])
    options = ["--universal", "--python-version", oldest, "--generate-hashes", "--override", str(OVERRIDES)]
    write(path, HEADER + compiled(requirements, *options))


def lock_reader(poetry: Path, path: Path) -> None:
    """Write the entries of LOCK_READER in the pins `poetry` to `path`."""
    entries = dict(re.findall(r"^([\w.-]+)(==.*(?:\n .*)*\n)", poetry.read_text(encoding="utf-8"), re.MULTILINE))
    write(path, HEADER + "".join(name + entries[name] for name in LOCK_READER))


def lock_repository() -> None:
    """Lock this repository's own tools; export them for pip: what `make new` and the updater need, and everything."""
    run(*POETRY, "lock", "--regenerate")
    for name, options in {"new": ["--only", "main"], "dev": ["--all-groups"]}.items():
        write(ROOT / "requirements" / f"{name}.txt", run(*POETRY, "export", *options))


def main() -> None:
    """Make all lock files."""
    lock_repository()
    for name, requirements in TOOLS.items():
        lock_tools(requirements, PROJECT / "tools/pins" / f"{name}.txt")
    lock_reader(PROJECT / "tools/pins/poetry.txt", PROJECT / "tools/pins/lock-reader.txt")
    lock_tools(["devpi-server"], ROOT / "tests/lab/devpi.txt")
    for version, service in combinations():
        lock_project(version, service)


if __name__ == "__main__":
    main()
