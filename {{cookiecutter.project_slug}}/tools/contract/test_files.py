"""What the image holds, without running it."""

import csv
import email
import json
import os
import re
import subprocess
import tarfile
from collections import Counter
from fnmatch import fnmatch

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from contract.image import ENGINE, Image
from contract.plugin import NoFile, none_of, point

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
    """Nothing belongs to the user, or is writable for it, its group, group 0 (OpenShift) or everybody."""
    number = str(image.config.get("User", "")).partition(":")[0]
    user = int(number) if number.isdigit() else 10001
    path = "".join(entry[5:] for entry in image.config.get("Env") or () if entry.startswith("PATH="))
    places = tuple(f"{folder.strip('/')}/" for folder in ["app", "usr/local/lib", *path.split(":")])

    def writable(info: tarfile.TarInfo) -> bool:
        of_group = info.gid in (0, user) and info.mode & 0o020
        return not info.issym() and bool(info.uid == user or of_group or info.mode & 0o002)

    found = [path for path, file in image.files.items() if f"{path}/".startswith(places) and writable(file.info)]
    return no_file(found, "all root's")


@point("files: none setuid or setgid", fix="Dockerfile, stage base: find ... -perm /6000 -delete has to come last")
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


def of_packages(image: Image, name: str) -> dict[str, str]:
    """Return path -> text of the files `name` of all packages, except packages inside packages, as in setuptools."""
    found = {path: file.text for path, file in image.files.items() if path.endswith(f".dist-info/{name}")}
    return {path: text for path, text in found.items() if not INNER.search(path)}


def source(path: str) -> str:
    """Return the source of bytecode; any other path as it is."""
    return BYTECODE.sub(r"\1.py", path)


def records(image: Image) -> dict[str, dict[str, str]]:
    """Return the name of every package -> path -> hash of what its RECORD lists."""
    found = {}
    for path, text in of_packages(image, "RECORD").items():
        site, info, _ = path.rsplit("/", 2)
        rows = csv.reader(text.splitlines())
        files = {os.path.normpath(f"{site}/{name}"): digest.removeprefix("sha256=") for name, digest, _ in rows}
        found[str(canonicalize_name(info.removesuffix(".dist-info").rpartition("-")[0]))] = files
    return found


def versions(image: Image) -> dict[str, str]:
    """Return name and version of every package in the image."""
    found: dict[str, str] = {}
    for text in of_packages(image, "METADATA").values():
        metadata = email.message_from_string(text)
        found[canonicalize_name(metadata["Name"])] = metadata["Version"]
    return found


@point("packages: exactly poetry.lock's main group", fix="build it again from this lock; what tests need is dev's")
def test_as_locked(image: Image) -> str:
    """Every package of the main group is there in its locked version, and no other package."""
    have, project = versions(image), image.pyproject["project"]
    # A marker may hold for one of the extras in the image, or without an extra.
    extras = ["", *image.pyproject["tool"].get("image", {}).get("extras", [])]
    name = canonicalize_name(project["name"])
    want: dict[str, str] = {name: project.get("version") or have.get(name, "dynamic")}
    for package in image.lock["package"]:
        markers = package.get("markers", "")
        if isinstance(markers, dict):
            markers = markers.get("main", "")
        if "main" not in package["groups"]:
            continue
        if not markers or any(Marker(markers).evaluate({**image.facts["markers"], "extra": extra}) for extra in extras):
            want[canonicalize_name(package["name"])] = package["version"]
    wrong = [name for name in sorted({*have, *want}) if have.get(name) != want.get(name)]
    none_of([f"{name} {have.get(name, 'missing')} (locked: {want.get(name, 'not at all')})" for name in wrong])
    return f"{len(have)} packages"


@point("packages: every file as in its wheel's RECORD", fix="build it again without cache; or find out who changed it")
def test_as_recorded(image: Image, no_file: NoFile) -> str:
    """Every file of a package has the hash in its RECORD, and every file is in a RECORD.

    The build has checked the wheels, including their RECORDs, against poetry.lock. Bytecode belongs to its source.
    """
    recorded: dict[str, set[str]] = {}
    for files in records(image).values():
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
    """Python does not compare them at the start: the bytecode says that its source never changes (unchecked hash)."""
    none_of(image.facts["stale"])
    return "every file"


@point("labels: true to the project", fix="make image fills them in; for a plain docker build, give its --build-arg")
def test_labels(image: Image) -> str:
    """The OCI labels agree with pyproject.toml and git; what was unknown to the build is empty."""
    project = image.pyproject["project"]
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    revision = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    patterns = {
        "revision": f"{revision or '[0-9a-f]{40}'}(-dirty)?",
        "created": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
        "source": r"https?://[^@]+",
        "base.name": rf".+/python:{project['requires-python'][2:].partition(',')[0]}\S*-slim\S*",
        "base.digest": "sha256:[0-9a-f]{64}",
        "version": re.escape(versions(image).get(canonicalize_name(project["name"]), "")),  # when it is dynamic
    }
    want = {name: f"({pattern})?" for name, pattern in patterns.items()}
    exact = {"title": "name", "description": "description", "version": "version", "licenses": "license"}
    want |= {name: re.escape(project[key]) for name, key in exact.items() if key in project}
    labels = image.config.get("Labels") or {}
    have = {name: labels.get(f"org.opencontainers.image.{name}", "none") for name in want}
    none_of([f"{name} is {have[name]!r}" for name in want if not re.fullmatch(want[name], have[name])])
    unknown = ", ".join(name for name in want if not have[name])
    return f"not known at the build: {unknown}" if unknown else "all known"


@point("size: within the budget", fix="do without what grew, or raise the budget in [tool.image-contract] and say why")
def test_size(image: Image) -> str:
    """Each part above the base image is within the budget, in MB (10^6 bytes)."""
    own = records(image).get(canonicalize_name(image.pyproject["project"]["name"]), {})
    sizes: dict[str, Counter[str]] = {"venv": Counter(), "app": Counter()}
    of_base = 0
    for path, file in image.files.items():
        if path.startswith("app/"):
            part = "venv" if path.startswith("app/.venv/") and source(path) not in own else "app"
            inner = re.sub(r"^app/(\.venv/(lib/python3[\d.]*/site-packages/)?)?", "", path)
            sizes[part][inner.partition("/")[0]] += file.info.size
        # Python's programs, which tools/image/base.py copies, and its library's bytecode are of no Debian package.
        elif path.startswith("usr/local/bin/") or (path.startswith("usr/local/lib/") and BYTECODE.search(path)):
            of_base += file.info.size
    steps = [size for size, command in image.history if "image.base" in command]
    # Podman's history leaves out the steps of the stages below.
    assert steps or "podman" in ENGINE, "the image's history has no step that runs image.base"
    sizes["debian"] = Counter({"docker/apt-runtime.txt": max(0, sum(steps) - of_base)})
    texts = []
    for part, allowed in image.terms["budget"].items():
        text = f"{part} {sizes[part].total() / 1e6:.1f} of {allowed} MB"
        largest = "; ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes[part].most_common(5))
        assert sizes[part].total() <= allowed * 1e6, f"{text} (largest: {largest})"
        texts.append(text)
    return ", ".join(texts)
