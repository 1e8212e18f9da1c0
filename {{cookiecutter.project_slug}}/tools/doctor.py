"""Show what a build of this project would use, how fast it answers, and what to change: `make doctor`.

It reads the settings as the build does (tools/build/mirror.py), including those in the environment: PYPI_MIRROR,
DEBIAN_MIRROR, MIRROR_FALLBACK, REGISTRY, DEBIAN_SUITE, and DOCKER for the engine's program. It needs only Python, so it
works before `make install`. Each time is that of one request.

Exit status: 0 if an image build can work, 1 if it can't.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

from build import mirror

ROOT = Path(__file__).resolve().parent.parent
# The package to test an index with, since every build downloads it.
SAMPLE = "poetry"
WHEEL_SECONDS = 30


class Timing(NamedTuple):
    """How one source answered."""

    source: str
    page: float = 0  # seconds
    file: float = 0  # seconds; 0 if no file was requested
    why: str = ""  # why it failed, if it did


class Report:
    """The report: prints the table row by row, and keeps the problems for the end."""

    def __init__(self) -> None:
        """Start without problems."""
        self.fatal = False
        self.problems: list[str] = []

    def row(self, name: str, *columns: str) -> None:
        """Print a row of the table."""
        print(f"  {name:<12} {'  '.join(columns)}".rstrip())

    def problem(self, text: str, *, fatal: bool) -> None:
        """Note a problem and what to do about it; a `fatal` one stops a build."""
        self.problems.append(f"{'PROBLEM' if fatal else 'note'}: {text}")
        self.fatal |= fatal


def printed(*command: str) -> str:
    """Return the output of `command`, stripped; nothing if it fails or does not exist."""
    try:
        done = subprocess.run(  # noqa: S603 - commands of this file
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def argument(name: str) -> str:
    """Return a build argument from the environment, or else its default in the Dockerfile."""
    found = re.search(rf"^ARG {name}=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return os.environ.get(name) or (found[1] if found else "")


def base_image() -> str:
    """Return the name of the base image."""
    return f"{argument('REGISTRY')}/python:{argument('PYTHON_VERSION')}-slim-{argument('DEBIAN_SUITE')}"


def tools(report: Report) -> None:
    """Show the installed tools and their versions."""
    report.row("Python", platform.python_version(), sys.executable)
    for name in ("uv", "poetry"):
        pinned = re.search(
            rf"^{name}==([^\s;]+)", (ROOT / "tools/pins" / f"{name}.txt").read_text("utf-8"), re.MULTILINE
        )
        wanted = pinned[1] if pinned else "?"
        found = re.search(r"\d+\.\d[\w.]*", printed(str(ROOT / ".tools/bin" / name), "--version"))
        current = bool(found and found[0] == wanted)
        state = "as in the build" if current else f"the build uses {wanted}: run 'make install'"
        report.row(name, found[0] if found else "not installed", state)


def engine(report: Report, docker: str) -> None:
    """Show whether the engine's program `docker` (or podman) answers, and whether there is a base image."""
    podman = Path(docker).name == "podman"
    name, needed = ("podman", (5, 4)) if podman else ("docker", (23, 0))
    told = json.loads(printed(docker, "version", "--format", "{{json .}}") or "{}")
    version = str((told.get("Client" if podman else "Server") or {}).get("Version", ""))
    report.row(name, version or "does not answer")
    if not version:
        report.problem(
            f"'{docker}' does not answer, so no image can be built: install it, start it, or name another"
            " (make doctor DOCKER=podman)",
            fatal=True,
        )
        return
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < needed:
        report.problem(f"{name} {version} is too old: {needed[0]}.{needed[1]} or newer is needed", fatal=True)
    name = base_image()
    if printed(docker, "image", "inspect", name):
        state = "is here"
    elif printed(docker, "manifest", "inspect", name):
        state = "is in the registry"
    else:
        state = "NOT FOUND"
        report.problem(
            f"{name} is neither here nor in its registry: log in to the registry, or name one that has it:"
            " REGISTRY= (and the release: DEBIAN_SUITE=)",
            fatal=True,
        )
    report.row("base image", name, state)


def lock(report: Report) -> None:
    """Show whether poetry.lock exists and fits pyproject.toml."""
    poetry = ROOT / ".tools/bin/poetry"
    fits = False
    if not (ROOT / "poetry.lock").is_file():
        state = "MISSING"
    elif not poetry.exists():
        state, fits = "not checked before 'make install'", True
    elif printed(str(poetry), "check", "--lock"):
        state, fits = "fits pyproject.toml", True
    else:
        state = "DOES NOT FIT pyproject.toml"
    report.row("poetry.lock", state)
    if not fits:
        report.problem("the build stops at poetry.lock: run 'make lock' and commit the file", fatal=True)


def file_url(page: str, body: bytes, prefix: str) -> str:
    """Return the address of the first wheel on an index page whose name starts with `prefix`; nothing if none does."""
    for link in mirror.links(body):
        name = mirror.file_name(link)
        if name.startswith(prefix) and name.endswith(".whl"):
            return urljoin(page, link)
    return ""


def time_index(url: str, env: dict[str, str]) -> Timing:
    """Time a page and a wheel of the package index `url`; the wheel must have the hash that is pinned."""
    pins = (ROOT / "tools/pins/poetry.txt").read_text(encoding="utf-8")
    pinned = re.search(rf"^{SAMPLE}==([^\s;]+)((?:.*\\\n)*.*)", pins, re.MULTILINE)
    version, hashes = (pinned[1], pinned[2]) if pinned else ("?", "")
    page = f"{url.rstrip('/')}/{SAMPLE}/"
    try:
        begin = time.monotonic()
        mirror.check_index(url, SAMPLE, env)
        body = mirror.fetch(page, env, seconds=WHEEL_SECONDS)
        paged = time.monotonic()
        file = file_url(page, body, f"{SAMPLE}-{version}-")
        if not file:
            return Timing(url, paged - begin, 0, f"it is stale: it has no {SAMPLE} {version}")
        wheel = mirror.fetch(file, env, seconds=WHEEL_SECONDS)
    except mirror.SourceError as error:
        return Timing(url, why=str(error))
    if hashlib.sha256(wheel).hexdigest() not in hashes:
        return Timing(url, why=f"WRONG HASH: {file} is not the file that tools/pins/poetry.txt pins")
    return Timing(url, paged - begin, time.monotonic() - paged)


def time_archive(url: str, env: dict[str, str]) -> Timing:
    """Time the signed list of the Debian archive `url`."""
    begin = time.monotonic()
    try:
        mirror.check_archive(url, argument("DEBIAN_SUITE"), env)
    except mirror.SourceError as error:
        return Timing(url, why=str(error))
    return Timing(url, time.monotonic() - begin)


def compare(report: Report, what: str, switch: str, timings: list[Timing], *, needed: bool) -> None:
    """Show how the sources answered, the mirror first, and note what to change."""
    for timing in timings:
        file = f"wheel {timing.file:6.2f} s" if timing.file else ""
        report.row("", f"page {timing.page:6.2f} s" if not timing.why else "FAILS", file, timing.source)
        if "WRONG HASH" in timing.why:
            report.problem(f"{timing.why}. Do not build before you know who changed it", fatal=True)
    good = [timing for timing in timings if not timing.why]
    reasons = "; ".join(timing.why for timing in timings if timing.why)
    if not good:
        report.problem(
            f"{what}: nothing that may be asked answers as it should ({reasons}). Correct the address"
            f" ({switch}=), have the source put right, or let upstream be asked (MIRROR_FALLBACK=1)",
            fatal=needed,
        )
    elif reasons:
        report.problem(f"{what}: {reasons}. Builds use what is left; to leave it out: {switch}=", fatal=False)
    elif len(good) > 1 and good[0].page + good[0].file > good[1].page + good[1].file:
        report.problem(f"{what}: upstream is faster from here than the mirror; to leave it out: {switch}=", fatal=False)


def sources(report: Report, docker: str) -> None:
    """Show which package index and which Debian archive a build would use, why, and how they answer."""
    env = dict(os.environ)
    pypi, debian, fallback = mirror.pypi(env), mirror.debian(env), mirror.fallback(env)
    then = "upstream when it fails" if fallback else "and nothing else: MIRROR_FALLBACK=0"
    for name, setting in {"PyPI": pypi, "Debian": debian}.items():
        report.row(name, f"{setting.url} (from {setting.origin}), {then}" if setting.url else "upstream")
        timings, needed, switch = [], True, "PYPI_MIRROR"
        if name == "PyPI":
            upstream, time_source = mirror.upstream_index(), time_index
        else:
            upstream, time_source, switch = archive_of_base(docker), time_archive, "DEBIAN_MIRROR"
            lists = [ROOT / "docker" / f"apt-{stage}.txt" for stage in ("build", "runtime")]
            needed = any(mirror.packages(path) for path in lists)
            if not needed:
                report.row("", "no package is asked for: docker/apt-build.txt and docker/apt-runtime.txt are empty")
        if setting.url:
            timings.append(time_source(setting.url, env))
        if upstream and (fallback or not setting.url):
            timings.append(time_source(upstream, env))
        if timings:
            compare(report, name, switch, timings, needed=needed)
        else:
            report.row("", "not timed: the address is in the base image, which is not here")


def archive_of_base(docker: str) -> str:
    """Return the Debian archive that the base image names; nothing if the image is not on this machine."""
    if not printed(docker, "image", "inspect", base_image()):
        return ""
    listed = printed(
        docker, "run", "--rm", "--network", "none", base_image(), "sh", "-c", "cat /etc/apt/sources.list.d/*"
    )
    found = re.search(r"^URIs: *(\S+)", listed, re.MULTILINE)
    return found[1] if found else ""


def main() -> int:
    """Print the report; return the exit status."""
    report, docker = Report(), os.environ.get("DOCKER") or "docker"
    tools(report)
    engine(report, docker)
    lock(report)
    try:
        sources(report, docker)
    except mirror.SettingError as error:
        report.problem(str(error), fatal=True)
    print("", *(report.problems or ["no problem found"]), sep="\n")
    return int(report.fatal)


if __name__ == "__main__":
    sys.exit(main())
