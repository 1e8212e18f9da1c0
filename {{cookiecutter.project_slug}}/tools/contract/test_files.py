"""What the image holds, without running it."""

import csv
import json
import os
import re
import subprocess
from collections import Counter
from fnmatch import fnmatch
from typing import Any

from packaging.markers import Marker, default_environment
from packaging.utils import canonicalize_name, canonicalize_version

from contract.image import ENGINE, Image, NoFile, none_of, point

# Files and folders that no image needs: tools, package managers and what they leave behind
TOOLS = """
    */bin/gcc* */bin/*-gcc* */bin/cc */bin/[cg]++* */bin/clang* */bin/ld */bin/as */bin/make
    */bin/pip* */bin/uv */bin/uvx */bin/poetry */bin/wheel *.whl *.deb */bin/curl */bin/git
    */site-packages/pip */site-packages/setuptools */site-packages/poetry
    var/lib/apt/lists/*_* var/cache/apt/*.bin root/.cache/* */.cache/uv/*
"""
# Files that a build or a checkout may leave behind
LEFTOVERS = """
    */.git .git */.env .env */.netrc .netrc */netrc run/secrets/* project/*
    */poetry.lock poetry.lock app/pyproject.toml app/tests tests
"""
DOCUMENTATION = "usr/share/doc/"  # of Debian's packages: git's has a folder named netrc
SETTINGS = "app/.venv/pyvenv.cfg"  # of the environment: it belongs to no package
URL_WITH_PASSWORD = re.compile(r"[a-z]+://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)
INNER = re.compile(r"(^|/)site-packages/[^/]+/.*\.dist-info/")
BYTECODE = re.compile(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$")


def like(path: str, patterns: str) -> bool:
    """Tell whether a path matches one of the patterns."""
    return any(fnmatch(path, pattern) for pattern in patterns.split())


@point("user: a number, not root", fix="Dockerfile: USER 10001:10001 (runAsNonRoot of Kubernetes can't judge a name)")
def test_user(image: Image) -> str:
    """The configuration names the user by number."""
    user = str(image.config.get("User", ""))
    assert re.fullmatch(r"[1-9]\d*(:\d+)?", user), f"USER is {user!r}"
    return user


@point("files: /app and the path can't be changed", fix="leave them to root: no chown, no chmod, no COPY --chown")
def test_not_writable(image: Image, no_file: NoFile) -> str:
    """All is root's, and nothing is writable for everybody or a group: OpenShift runs the service in group 0."""
    path = "".join(entry[5:] for entry in image.config.get("Env") or () if entry.startswith("PATH="))
    places = tuple(f"{folder.strip('/')}/" for folder in ["app", "usr/local/lib", *path.split(":")])
    found = []
    for path, (info, *_) in image.files.items():
        by_group = info.mode & 0o020 and info.gid != 50  # Debian's staff, to whom a part of /usr/local belongs
        if f"{path}/".startswith(places) and not info.issym() and (info.uid or info.mode & 0o002 or by_group):
            found.append(path)
    return no_file(found, "all root's")


@point(
    "files: none setuid or setgid", fix="tools/image/base.py takes these rights away: give none back by chmod or COPY"
)
def test_no_setuid(image: Image, no_file: NoFile) -> str:
    """No file gives its caller other rights, not even one of the base image."""
    found = [path for path, file in image.files.items() if file.info.isreg() and file.info.mode & 0o6000]
    return no_file(found, f"{len(image.files)} files seen")


@point(
    "files: no tool, package manager or cache",
    fix='do without it; or, in [tool.image-contract.except], say why: "files: no tool, package manager or cache" ='
    ' { "*/bin/git" = "the service clones repositories" }',
)
def test_no_tool(image: Image, no_file: NoFile) -> str:
    """No compiler, pip, uv, Poetry, setuptools, curl or git, and nothing that they or apt leave behind."""
    return no_file([path for path in image.files if like(path, TOOLS)], "none")


@point("files: no secret, source tree, lock or test", fix="copy single files; give secrets as RUN --mount=type=secret")
def test_no_leftover(image: Image, no_file: NoFile) -> str:
    """Nothing is left over from the build context, and no password is in the configuration or history."""
    found = [path for path in image.files if like(path, LEFTOVERS) and not path.startswith(DOCUMENTATION)]
    texts = {"configuration": json.dumps(image.config), "history": "\n".join(text for _, text in image.history)}
    found += [f"a password in the {name}" for name, text in texts.items() if URL_WITH_PASSWORD.search(text)]
    return no_file(found, "none")


def packages(image: Image) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the name of every package -> its version, and what its RECORD lists: path -> hash."""
    found = {}
    for path, file in image.files.items():
        if path.endswith(".dist-info/RECORD") and not INNER.search(path):  # setuptools has packages inside
            site, info, _ = path.rsplit("/", 2)
            name, _, version = info.removesuffix(".dist-info").rpartition("-")
            rows = csv.reader(file.text.splitlines())
            files = {os.path.normpath(f"{site}/{inner}"): digest.removeprefix("sha256=") for inner, digest, _ in rows}
            found[str(canonicalize_name(name))] = (version, files)
    return found


def own(image: Image) -> tuple[str, dict[str, str]]:
    """Return the same of the project itself."""
    return packages(image).get(canonicalize_name(image.pyproject["project"]["name"]), ("missing", {}))


def source(path: str) -> str:
    """Return the source of bytecode; any other path as it is."""
    return BYTECODE.sub(r"\1.py", path)


@point("packages: exactly poetry.lock's main group", fix="build it again from this lock; what tests need is dev's")
def test_as_locked(image: Image) -> str:
    """Every package of the main group is there in its locked version, and no other package."""
    project = image.pyproject["project"]
    # A marker may hold for one of the extras in the image, or without an extra.
    extras = ["", *image.pyproject["tool"].get("image", {}).get("extras", [])]
    have = {name: canonicalize_version(version) for name, (version, _) in packages(image).items()}
    want = {str(canonicalize_name(project["name"])): canonicalize_version(project.get("version") or own(image)[0])}
    # As on this machine, but for the image's Python and processor.
    here: dict[str, Any] = {**default_environment(), "os_name": "posix", "sys_platform": "linux"}
    here |= {"platform_system": "Linux", **image.facts["markers"]}
    here["python_version"] = here["python_full_version"].rpartition(".")[0]
    for package in image.lock["package"]:
        markers = package.get("markers", "")
        markers = markers.get("main", "") if isinstance(markers, dict) else markers
        fits = not markers or any(Marker(markers).evaluate({**here, "extra": extra}) for extra in extras)
        if fits and "main" in package["groups"]:
            want[str(canonicalize_name(package["name"]))] = canonicalize_version(package["version"])
    wrong = [name for name in sorted({*have, *want}) if have.get(name) != want.get(name)]
    none_of([f"{name} {have.get(name, 'missing')} (locked: {want.get(name, 'not at all')})" for name in wrong])
    return f"{len(have)} packages"


@point("packages: every file as in its wheel's RECORD", fix="build it again without cache; or find out who changed it")
def test_as_recorded(image: Image, no_file: NoFile) -> str:
    """And every file is in a RECORD; the build has checked the wheels with these, and made bytecode of the sources."""
    recorded: dict[str, set[str]] = {}
    for _, files in packages(image).values():
        for path, digest in files.items():
            recorded.setdefault(path, set()).add(digest)
    found = [path for path in recorded if path not in image.files]
    for path, file in image.files.items():
        # A file of two packages is as one of them has it.
        is_other = path in recorded and not recorded[path] & {"", file.digest}
        is_new = path.startswith("app/.venv/") and file.info.isreg() and source(path) not in recorded
        if is_other or (is_new and path != SETTINGS):
            found.append(path)
    return no_file(found, f"{len(recorded)} files")


@point("bytecode: that of the sources", fix="build it again; change no source in the image after that")
def test_bytecode(image: Image) -> str:
    """Python compiles nothing at the start, and does not compare: every source has its bytecode (unchecked hash)."""
    none_of(image.facts["wrong"])
    return "every file"


@point("labels: true to the project", fix="make image fills them in; for a plain docker build, give its --build-arg")
def test_labels(image: Image) -> str:
    """The OCI labels agree with pyproject.toml and git; what was unknown to the build is empty."""
    project = image.pyproject["project"]
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    revision = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    exact = {"title": "name", "description": "description", "licenses": "license"}
    want = {name: re.escape(project[key]) for name, key in exact.items() if key in project} | {
        "revision": f"{revision or '[0-9a-f]{40}'}(-dirty)?",
        "created": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
        "source": r"https?://[^@]+",
        "base.name": rf".+/python:{project['requires-python'][2:].partition(',')[0]}\S*-slim\S*",
        "base.digest": "sha256:[0-9a-f]{64}",
        "version": re.escape(project.get("version") or own(image)[0]),
    }
    labels = image.config.get("Labels") or {}
    have = {name: labels.get(f"org.opencontainers.image.{name}", "none") for name in want}
    none_of([f"{name} is {text!r}" for name, text in have.items() if text and not re.fullmatch(want[name], text)])
    unknown = ", ".join(name for name in want if not have[name])
    return f"not known at the build: {unknown}" if unknown else "all known"


@point("size: within the budget", fix="do without what grew, or raise the budget in [tool.image-contract] and say why")
def test_size(image: Image) -> str:
    """Each part above the base image is within the budget, in MB (10^6 bytes)."""
    of_project, of_base = own(image)[1], 0
    sizes: dict[str, Counter[str]] = {"venv": Counter(), "app": Counter()}
    for path, file in image.files.items():
        if path.startswith("app/"):
            part = "venv" if path.startswith("app/.venv/") and source(path) not in of_project else "app"
            inner = re.sub(r"^app/(\.venv/(lib/python3[\d.]*/site-packages/)?)?", "", path)
            sizes[part][inner.partition("/")[0]] += file.info.size
        # Python's programs, which tools/image/base.py copies, and its library's bytecode are of no Debian package.
        elif path.startswith("usr/local/bin/") or (path.startswith("usr/local/lib/") and BYTECODE.search(path)):
            of_base += file.info.size
    steps = [size for size, command in image.history if "image.base" in command]
    # Podman's history leaves out the steps of the stages below.
    assert steps or "podman" in ENGINE, "the image's history has no step that runs image.base"
    sizes["debian"] = Counter({"docker/apt-runtime.txt": max(0, sum(steps) - of_base)})
    budget, texts = image.terms["budget"], []
    assert budget.keys() == sizes.keys(), f"budget needs {', '.join(sizes)}, in [tool.image-contract]"
    for part, allowed in budget.items():
        texts.append(f"{part} {sizes[part].total() / 1e6:.1f} of {allowed} MB")
        largest = "; ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes[part].most_common(5))
        assert sizes[part].total() <= allowed * 1e6, f"{texts[-1]} (largest: {largest})"
    return ", ".join(texts)
