"""Show what a build of this project would use, how fast it answers, and what to change: `make doctor`.

It reads the settings as the build does (tools/image/mirror.py), those in the environment too: PYPI_MIRROR, REGISTRY and
so on. It needs only Python, so it works before `make install`. Exit status: 0 if an image build can work, else 1.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from engine import DOCKER, PODMAN
from image import mirror

problems: list[str] = []


def row(name: str, *columns: str) -> None:
    """Print a row of the table."""
    print(f"  {name:<12} {'  '.join(columns)}".rstrip())


def problem(text: str, *, fatal: bool = True) -> None:
    """Keep a problem, and what to do about it, for the end; a `fatal` one stops a build."""
    problems.append(f"{'PROBLEM' if fatal else 'note'}: {text}")


def printed(*command: str, **env: str) -> str:
    """Return what `command` prints, or "done" if that is nothing; "" if it fails or does not exist."""
    try:
        said = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=20, env=os.environ | env)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.strip() or "done"


def argument(name: str) -> str:
    """Return a build argument from the environment, or else its default in the Dockerfile."""
    text = Path("Dockerfile").read_text(encoding="utf-8")
    return os.environ.get(name) or str(re.findall(rf"^ARG {name}=(\S+)$", text, re.MULTILINE)[0])


def probe(url: str, wanted: str) -> str:
    """Print how fast `url` answers; return why it is no good: no answer, or one without the text `wanted`."""
    request = urllib.request.Request(url)  # noqa: S310 - mirror.py has looked at the scheme
    if login := mirror.credentials(urlsplit(url).hostname or "", os.environ):
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            content = answer.read().decode(errors="replace")
        why = "" if wanted in content else f"{url} does not name {wanted}: the source is stale, or this is a login page"
    except (OSError, ValueError) as error:
        why = f"{url}: {error}"
    row("", f"FAILS: {why}" if why else f"{time.monotonic() - began:6.2f} s  {url}")
    return why


def source(name: str, setting: mirror.Setting, upstream: str, page: tuple[str, str], *, needed: bool) -> None:
    """Show which addresses a build would ask for packages, why, and how they answer."""
    fallback = mirror.fallback(os.environ)
    then = "upstream when it fails" if fallback else "and nothing else: MIRROR_FALLBACK=0"
    row(name, f"{setting.url} (from {setting.origin}), {then}" if setting.url else "upstream")
    urls = [url for url in (setting.url, upstream if fallback or not setting.url else "") if url]
    reasons = [why for url in urls if (why := probe(f"{url.rstrip('/')}/{page[0]}", page[1]))]
    if not urls:
        row("", "not asked: nothing on this machine says where upstream is")
    elif len(reasons) == len(urls):
        advice = f"Correct the address ({name.upper()}_MIRROR=), have the source put right, or let upstream be asked"
        problem(f"{name}: {'; '.join(reasons)}. {advice} (MIRROR_FALLBACK=1)", fatal=needed)
    elif reasons:
        problem(f"{name}: {reasons[0]}. Builds use what is left; to leave it out: {name.upper()}_MIRROR=", fatal=False)


def main() -> int:
    """Print the report; return the exit status."""
    base = f"{argument('REGISTRY')}/python:{argument('PYTHON_VERSION')}-slim-{argument('DEBIAN_SUITE')}"
    version = printed(DOCKER, "info", "--format", "{{.Version.Version}}" if PODMAN else "{{.ServerVersion}}")
    row("engine", DOCKER, version or "does not answer")
    is_here = printed(DOCKER, "image", "inspect", base)
    if not version:
        problem(f"'{DOCKER}' does not answer: install it, start it, or name another (make doctor DOCKER=podman)")
    elif not is_here and not printed(DOCKER, "manifest", "inspect", base):
        problem(
            f"{base} is neither here nor in its registry: log in, or name one that has it: REGISTRY=, DEBIAN_SUITE="
        )
    row("base image", base, "is here" if is_here else "")

    with tempfile.TemporaryDirectory() as folder:
        reader = Path(".tools/bin/python")
        fits = printed(str(reader), "-m", "image.lock", folder, PYTHONPATH="tools") if reader.exists() else "?"
    row("poetry.lock", "fits pyproject.toml" if fits == "done" else "not read before `make install`" if fits else "NO")
    if not fits or not Path("poetry.lock").exists():
        problem("poetry.lock is missing, or does not fit pyproject.toml: run 'make lock' and commit the file")

    try:
        pin = re.findall(r"^uv==([^\s;]+)", Path("tools/pins/uv.txt").read_text(encoding="utf-8"), re.MULTILINE)[0]
        known = re.findall(r"https://\S+/simple", printed(sys.executable, "-m", "pip", "download", "--help"))
        source("PyPI", mirror.pypi(os.environ), "".join(known[:1]), ("uv/", f"uv-{pin}-"), needed=True)
        listed = printed(DOCKER, "run", "--rm", base, "sh", "-c", "cat /etc/apt/sources.list.d/*") if is_here else ""
        known = re.findall(r"^URIs: *(\S+)", listed, re.MULTILINE)
        suite = argument("DEBIAN_SUITE")
        lists = [Path(f"docker/apt-{stage}.txt").read_text(encoding="utf-8") for stage in ("build", "runtime")]
        needed = bool(re.search(r"^\s*[^#\s]", "".join(lists), re.MULTILINE))
        page = (f"dists/{suite}/InRelease", f"Codename: {suite}")
        source("Debian", mirror.debian(os.environ), "".join(known[:1]), page, needed=needed)
    except mirror.SettingError as error:
        problem(str(error))
    print("", *(problems or ["no problem found"]), sep="\n")
    return int(any(text.startswith("PROBLEM") for text in problems))


if __name__ == "__main__":
    sys.exit(main())
