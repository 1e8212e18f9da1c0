"""Check a built image against its runtime contract: what holds, what does not, and how to put it right.

    python check_image.py IMAGE            every point of the contract
    python check_image.py IMAGE WORD ...   the points that begin with a word: user, files, size, stop ...

Docker, or Podman by DOCKER=podman, and the standard library are all it needs. Run it from the project's
folder: pyproject.toml and poetry.lock there say what the image should hold. Files are read from what the
engine exports, so that the image does not speak for itself. The service runs as anybody would run it; its
clients under load are a further container in its network. Two points are checked at a time, and one that
came too late again, alone.

Of the project's code it relies on `settings.Settings`, `logs.configure` and, in a worker, `worker.job`.
Exit status: 0 all holds, 1 something does not, 2 the image can't be examined.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import operator
import os
import re
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

ENGINE = os.environ.get("DOCKER", "docker")
PYTHON = "/app/.venv/bin/python"
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
# What deploy/kubernetes.yaml grants, and no more.
HARDENED = (
    *("--read-only", "--tmpfs", "/tmp:size=16m", "--cap-drop", "ALL"),  # noqa: S108
    *("--security-opt", "no-new-privileges"),
)
LIMITS = ("--memory", "128m", "--cpus", "0.5", "--pids-limit", "64")
START = 5  # seconds until it must be healthy
PATIENCE = 15  # seconds that the other points wait for it
STOP = 1  # seconds until it must have ended when idle
CANARY = "canary-6f1c0b"  # stands for a secret

# Files and folders that no image needs.
TOOLS = (
    *("*/bin/gcc*", "*/bin/*-gcc*", "*/bin/cc", "*/bin/[cg]++*", "*/bin/clang*", "*/bin/ld", "*/bin/as"),
    *("*/bin/make", "*/bin/pip*", "*/bin/uv", "*/bin/uvx", "*/bin/poetry", "*/bin/wheel", "*.whl"),
    *("*/bin/curl", "*/bin/git", "*.deb"),
    *("*/site-packages/pip", "*/site-packages/setuptools", "*/site-packages/poetry"),
    *("var/lib/apt/lists/*_*", "var/cache/apt/*.bin", "root/.cache/*", "*/.cache/uv/*"),
)
LEFTOVERS = (
    *("*/.git", ".git", "*/.env", ".env", "*/.netrc", ".netrc", "*/netrc", "run/secrets/*", "docker/*"),
    *("*/poetry.lock", "poetry.lock", "app/pyproject.toml", "app/tests", "app/lib/tests", "tests"),
)
# What `uv venv` and the Dockerfile make below /app, beside the packages.
MADE = (
    *("*/site-packages/app.pth", "*/site-packages/_virtualenv.p*", "app/bytecode/*.pyc"),
    *("app/.venv/bin/*activate*", "app/.venv/bin/pydoc.bat"),
    *("app/.venv/pyvenv.cfg", "app/.venv/.gitignore", "app/.venv/CACHEDIR.TAG"),
)
URL_WITH_PASSWORD = re.compile(r"[a-z]+://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)


class Broken(Exception):  # noqa: N818 - an answer, rather than an error
    """A point of the contract that does not hold; the text says what was seen."""


class Late(Broken):
    """A point that took too long, perhaps since the machine was busy."""


class File(NamedTuple):
    """A file, folder or link of the image; `digest` (below /app only) is written as in a wheel's RECORD."""

    mode: int
    uid: int
    gid: int
    size: int
    kind: bytes
    digest: str
    text: str


def docker(*arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the engine's command line; the caller looks at the exit status."""
    return subprocess.run(  # noqa: S603
        [ENGINE, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the engine's command line, for what it writes to be read as it comes."""
    return subprocess.Popen([ENGINE, *arguments], stdout=subprocess.PIPE)  # noqa: S603


def output(*arguments: str) -> str:
    """Return what the engine's command line prints; Broken when it fails."""
    done = docker(*arguments)
    if done.returncode:
        raise Broken(f"{ENGINE} {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout


# Programs that run inside the image.
FACTS = """
import importlib.util, json, os, pathlib, platform, sys
stale = []
for path in pathlib.Path(sys.pycache_prefix or "/nowhere").rglob("*.pyc"):
    try:
        source = pathlib.Path(importlib.util.source_from_cache(str(path)))
        if importlib.util.source_hash(source.read_bytes()) != path.read_bytes()[8:16]:
            stale.append(str(source))
    except OSError as error:
        stale.append(str(error))
from PACKAGE.settings import Settings
print(json.dumps({
    "stale": stale,
    "secrets": [n.upper() for n, field in Settings.model_fields.items() if "Secret" in str(field.annotation)],
    "markers": {
        "os_name": os.name, "sys_platform": sys.platform, "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(), "extra": "",
        "platform_system": platform.system(), "platform_release": platform.release(),
        "platform_version": platform.version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(), "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
    },
}))
"""
FREEZE = "import os, signal; os.kill(-1, signal.SIGSTOP)"
ORPHAN = """
import os, pathlib, time
if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.2)
    os._exit(0)
os.wait()
time.sleep(0.7)
for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    state = path.read_text().rpartition(")")[2].split()
    if state[0] == "Z":
        print(path.parent.name)
"""
GET = """
import http.client, json, sys
answers = []
for path in sys.argv[2:]:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
    connection.request("GET", path)
    answers.append(connection.getresponse().status)
print(json.dumps(answers))
"""
# Three kinds of client, until nobody listens any more: one keeps its connection, one opens a new one each
# time, one takes 0.4 s to send its request. A request of which a part was sent and not answered is lost.
LOAD = """
import asyncio, json, time
count = {"answered": 0, "lost": 0, "not ready": 0}
end = time.monotonic() + 15
async def client(kind, path):
    reader = writer = None
    while time.monotonic() < end:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", 8000)
        except OSError:
            return
        close = "close" if kind == "new" else "keep-alive"
        try:
            writer.write(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\n".encode())
            if kind == "slow":
                await asyncio.sleep(0.4)
            writer.write(f"Connection: {close}\\r\\n\\r\\n".encode())
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
            count["answered"] += 1
            count["not ready"] += path == "/readyz" and " 503 " in head
            close = "connection: close" in head
        except (OSError, asyncio.IncompleteReadError):
            count["lost"] += 1
            close = True
        if close:
            writer.close()
            writer = None
        await asyncio.sleep(0.005)
async def main():
    kinds = ["keep"] * 8 + ["new"] * 4 + ["slow"] * 4
    print("started", flush=True)
    await asyncio.gather(*(client(kind, ("/healthz", "/readyz")[i % 2]) for i, kind in enumerate(kinds)))
    print(json.dumps(count))
asyncio.run(main())
"""
# Holds a request open, half sent.
HOLD = """
import socket, time
connection = socket.create_connection(("127.0.0.1", 8000))
connection.sendall(b"GET /healthz HTTP/1.1\\r\\n")
print("started", flush=True)
time.sleep(15)
"""
TRACEBACK = """
from PACKAGE import logs
logs.configure()
raise RuntimeError("on purpose")
"""
# The worker with a job of 3 s, which can be given back.
JOB = """
import runpy, sys, time
from PACKAGE import worker
def job(go_on):
    print('{"message": "begun"}', flush=True)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if not go_on() and "stubborn" not in sys.argv:
            print('{"message": "given back"}', flush=True)
            return
        time.sleep(0.05)
    print('{"message": "finished"}', flush=True)
worker.job = job
runpy.run_module("PACKAGE", run_name="__main__")
"""


class Image:
    """The image, what the project says about it, and ways to run it."""

    def __init__(self, name: str) -> None:
        """Read the project's files and the image's configuration. Broken when there is no such image."""
        self.name = name
        self.pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
        self.lock = tomllib.loads(Path("poetry.lock").read_text(encoding="utf-8"))
        self.package: str = self.pyproject["tool"]["poetry"]["packages"][0]["include"]
        inspected = json.loads(output("image", "inspect", name))[0]
        self.config: dict[str, Any] = inspected["Config"]
        # Where Podman has it, too.
        self.health: dict[str, Any] = self.config.get("Healthcheck") or inspected.get("Healthcheck") or {}
        self.serves = bool(self.config.get("ExposedPorts"))

    def program(self, source: str) -> tuple[str, ...]:
        """Return the arguments of `run` that make the image's Python run `source`, which may say PACKAGE."""
        return ("--entrypoint", PYTHON, self.name, "-c", source.replace("PACKAGE", self.package))

    @cached_property
    def user(self) -> int:
        """The number of the user that the service runs as; 10001 when the image says it otherwise."""
        number = str(self.config.get("User", "")).partition(":")[0]
        return int(number) if number.isdigit() else 10001

    @cached_property
    def files(self) -> dict[str, File]:
        """Every file of the image by its path, without the slash at the front."""
        container = output("create", self.name).strip()
        found = {}
        try:
            with (
                start("export", container) as process,
                tarfile.open(fileobj=process.stdout, mode="r|") as archive,
            ):
                for entry in archive:
                    path = entry.name.removeprefix("./")
                    below_app = path.startswith("app/") and entry.isreg()
                    content = archive.extractfile(entry) if below_app else None
                    data = content.read() if content else b""
                    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                    text = data.decode() if path.endswith(("/RECORD", "/METADATA")) else ""
                    about = (entry.mode, entry.uid, entry.gid, entry.size, entry.type)
                    found[path] = File(*about, digest, text)
        finally:
            docker("rm", "--force", container)
        return found

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the image's Python says about itself."""
        result: dict[str, Any] = json.loads(output("run", "--rm", "--network", "none", *self.program(FACTS)))
        return result

    @cached_property
    def history(self) -> list[tuple[float, str]]:
        """Size in bytes and command of each step that made the image."""
        format_ = "{% raw %}{{.Size}} {{.CreatedBy}}{% endraw %}"
        steps = re.findall(
            r"^([\d.]+) ?([kMG]?)B (.*)$",
            output("history", "--no-trunc", "--format", format_, self.name),
            re.MULTILINE,
        )
        return [(float(size) * UNITS[unit], command) for size, unit, command in steps]

    @cached_property
    def life(self) -> Life:
        """One life of the service, with variables that it must not print, from the start to SIGTERM."""
        secrets = [word for name in self.secrets for word in ("--env", f"{name}={CANARY}")]
        with self.running("--env", "LOG_LEVEL=DEBUG", *secrets) as container:
            early = docker("logs", container.id).stdout
            answers = container.get(8000, "/healthz", "/readyz") if self.serves else []
            orphans = docker("exec", container.id, PYTHON, "-c", ORPHAN)
            ending = container.kill("TERM")
            logs = docker("logs", container.id)
            zombies = (orphans.stdout + orphans.stderr).split()
        return Life(container.start, early, answers, zombies, ending, logs.stdout, logs.stderr)

    @cached_property
    def verbose(self) -> tuple[str, tuple[int, float]]:
        """What Python says of its imports, and how the service ends on SIGINT."""
        with self.running("--env", "PYTHONVERBOSE=1") as container:
            imports = docker("logs", container.id).stderr
            return imports, container.kill("INT")

    @cached_property
    def secrets(self) -> list[str]:
        """The variables of secret settings, and two that no service knows."""
        return [*self.facts["secrets"], "API_TOKEN", "DATABASE_PASSWORD"]

    @cached_property
    def refused(self) -> dict[str, tuple[int, str]]:
        """Exit status and output for settings that can't be used; status 0 when one is accepted."""
        found = {}
        number = "PORT" if self.serves else "INTERVAL"
        for variable, value in ((number, "abc"), ("LOG_LEVEL", "unheard-of")):
            options = [f"--env={name}={CANARY}" for name in self.secrets] + ["--env", f"{variable}={value}"]
            try:
                done = docker("run", "--rm", *options, self.name, timeout=PATIENCE)
                found[variable] = (done.returncode, done.stdout + done.stderr)
            except subprocess.TimeoutExpired:
                found[variable] = (0, "")
        return found

    {%- if cookiecutter.service_type == "fastapi" %}

    @cached_property
    def load(self) -> tuple[int, dict[str, int]]:
        """Exit status of the service when it is stopped under load, and what its clients counted."""
        with self.running() as container, container.client(LOAD) as client:
            time.sleep(0.7)
            code, _ = container.kill("TERM")
            return code, json.loads(client.communicate(timeout=PATIENCE)[0] or b"{}")

    {%- endif %}

    @contextmanager
    def running(self, *options: str, command: tuple[str, ...] = ()) -> Iterator[Container]:
        """Yield a container with the service, healthy unless it can't become so; it is removed in the end."""
        begin = time.monotonic()
        container = Container(self, output("run", "--detach", *options, *(command or (self.name,))).strip())
        try:
            while time.monotonic() < begin + PATIENCE and container.state("Running"):
                if container.healthy():
                    container.start = time.monotonic() - begin
                    break
                time.sleep(0.3)
            yield container
        finally:
            docker("rm", "--force", "--volumes", container.id)


class Life(NamedTuple):
    """What was seen in Image.life; `ending` is the exit status, and the seconds from signal to end."""

    start: float | None
    early_log: str
    answers: list[int]
    zombies: list[str]
    ending: tuple[int, float]
    stdout: str
    stderr: str


class Container:
    """A container with the service; `start` is how many seconds it took to be healthy, None if it is not."""

    start: float | None = None

    def __init__(self, image: Image, number: str) -> None:
        """Remember the container's id `number`."""
        self.image, self.id = image, number

    def state(self, name: str) -> bool:
        """Tell whether it is in the state `name`: Running, OOMKilled."""
        return bool(json.loads(output("inspect", self.id))[0]["State"][name])

    def healthy(self) -> bool:
        """Run the image's own health check."""
        test = self.image.health.get("Test") or ["CMD", "false"]
        command = test[1:] if test[0] == "CMD" else ["/bin/sh", "-c", *test[1:]]
        return docker("exec", self.id, *command).returncode == 0

    def must_be_healthy(self) -> str:
        """Return how long the start took; Broken when the service is not healthy."""
        if self.start is None:
            raise Broken(f"not healthy; {self.last_words()}")
        return f"healthy after {self.start:.1f} s"

    def last_words(self) -> str:
        """Return the last line that the service printed."""
        done = docker("logs", self.id)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return f"its last line: {lines[-1][:200]}" if lines else "it printed nothing"

    def python(self, source: str, *arguments: str) -> str:
        """Return what a program prints that runs in the container beside the service."""
        return output("exec", self.id, PYTHON, "-c", source, *arguments)

    @contextmanager
    def client(self, source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Yield a client that has started, in a container of its own that shares the service's network."""
        network = ("--network", f"container:{self.id}")
        with start("run", "--rm", *network, *self.image.program(source), *arguments) as process:
            try:
                if not process.stdout or process.stdout.readline().strip() != b"started":
                    raise Broken(f"no client can connect; {self.last_words()}")
                yield process
            finally:
                process.kill()

    def get(self, port: int, *paths: str) -> list[int]:
        """Return the status of a GET for each path; none when nobody answers."""
        done = docker("exec", self.id, PYTHON, "-c", GET, str(port), *paths)
        return [] if done.returncode else list(json.loads(done.stdout))

    def kill(self, *signals: str) -> tuple[int, float]:
        """Send the signals, 0.2 s apart; return the exit status and the seconds from the last to the end."""
        with start("wait", self.id) as waiting:
            time.sleep(0.2)  # until it waits
            for number, signal in enumerate(signals):
                time.sleep(0.2 if number else 0)
                docker("kill", "--signal", signal, self.id)  # fails when it has ended by itself
            begin = time.monotonic()
            code = int(waiting.communicate(timeout=2 * PATIENCE)[0] or -1)
            return code, time.monotonic() - begin


class Point(NamedTuple):
    """A point of the contract: its name, how to put it right, and the function that checks it."""

    name: str
    fix: str
    check: Callable[[Image], str]


CONTRACT: list[Point] = []


def point(name: str, fix: str) -> Callable[[Callable[[Image], str]], Callable[[Image], str]]:
    """Add a function to the contract: it returns what it saw, or raises Broken."""

    def add(check: Callable[[Image], str]) -> Callable[[Image], str]:
        CONTRACT.append(Point(name, fix, check))
        return check

    return add


def none_of(found: list[str], seen: str) -> str:
    """Return `seen` when nothing was found, else raise Broken with the first few."""
    if found:
        raise Broken(", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else ""))
    return seen


# --- what the image holds -----------------------------------------------------------------------------------


@point(
    "user: a number, not root", "Dockerfile: USER 10001:10001 (Kubernetes' runAsNonRoot can't judge a name)"
)
def numeric_user(image: Image) -> str:
    """The configuration names the user by number."""
    user = str(image.config.get("User", ""))
    if not re.fullmatch(r"[1-9]\d*(:\d+)?", user):
        raise Broken(f"USER is {user!r}")
    return user


@point("files: /app and the path can't be changed", "leave them to root: no chown, no chmod, no COPY --chown")
def not_writable(image: Image) -> str:
    """Nothing belongs to the user, or may be written by it, its group, group 0 (OpenShift) or all."""
    folders = ["app", "usr/local/lib"]
    for entry in image.config.get("Env") or ():
        if entry.startswith("PATH="):
            folders += [folder.strip("/") for folder in entry[5:].split(":")]

    def writable(file: File) -> bool:
        own = file.uid == image.user
        group = file.gid in (0, image.user) and file.mode & 0o020
        return file.kind != tarfile.SYMTYPE and bool(own or group or file.mode & 0o002)

    places = tuple(f"{folder}/" for folder in folders)
    found = [path for path, file in image.files.items() if f"{path}/".startswith(places) and writable(file)]
    return none_of(found, "all root's")


@point(
    "files: none setuid or setgid",
    "Dockerfile, runtime stage: the find ... -perm /6000 -delete has to come last",
)
def no_setuid(image: Image) -> str:
    """No file gives its caller other rights, those of the base image included."""
    found = [
        path for path, file in image.files.items() if file.kind == tarfile.REGTYPE and file.mode & 0o6000
    ]
    return none_of(found, f"{len(image.files)} files seen")


@point(
    "files: no tool, package manager or cache",
    "install it in an earlier stage; docker/apt-runtime.txt is for what ships",
)
def no_tools(image: Image) -> str:
    """No compiler, pip, uv, Poetry, setuptools, curl, git, and nothing that they or apt leave behind."""
    return none_of([path for path in image.files if any(fnmatch(path, pattern) for pattern in TOOLS)], "none")


@point(
    "files: no secret, source tree, lock or test",
    "copy single files, and give secrets as RUN --mount=type=secret",
)
def no_leftovers(image: Image) -> str:
    """Nothing of the build's context is left over, and no password in configuration or history."""
    found = [path for path in image.files if any(fnmatch(path, pattern) for pattern in LEFTOVERS)]
    texts = {"configuration": json.dumps(image.config)} | {
        "history": "\n".join(text for _, text in image.history)
    }
    found += [f"a password in the {name}" for name, text in texts.items() if URL_WITH_PASSWORD.search(text)]
    return none_of(found, "none")


def marker_holds(marker: str, values: Mapping[str, str]) -> bool:
    """Tell whether an environment marker (PEP 508) holds; its grammar is Python's, but for `~=` and `===`.

    Versions are compared by their numbers; Broken for what is not understood.
    """
    operators: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
        ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
        ast.Gt: operator.gt, ast.GtE: operator.ge,
        ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    }  # fmt: skip

    def holds(node: ast.expr) -> bool:
        match node:
            case ast.BoolOp(ast.And(), parts):
                return all(map(holds, parts))
            case ast.BoolOp(ast.Or(), parts):
                return any(map(holds, parts))
            case ast.Compare(left, [compare], [right]) if isinstance(left, ast.Name | ast.Constant):
                sides = [
                    values[side.id] if isinstance(side, ast.Name) else ast.literal_eval(side)
                    for side in (left, right)
                ]
                if "_version" in ast.unparse(node) and not isinstance(compare, ast.In | ast.NotIn):
                    # As long as a version may be: 1.2 is 1.2.0.
                    sides = [([int(n) for n in re.findall(r"\d+", side)] + [0] * 8)[:8] for side in sides]
                return operators[type(compare)](*sides)
        raise ValueError(ast.unparse(node))

    try:
        return holds(ast.parse(marker, mode="eval").body)
    except (SyntaxError, ValueError, KeyError) as error:
        raise Broken(f"the marker {marker!r} in poetry.lock is not understood ({error})") from error


def normal(name: str) -> str:
    """Return the name of a distribution in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(image: Image) -> dict[str, str]:
    """Return name and version of what the lock's main group asks for here, and of the project itself."""
    found = {normal(image.pyproject["project"]["name"]): image.pyproject["project"]["version"]}
    for package in image.lock["package"]:
        markers = package.get("markers", "")
        if isinstance(markers, dict):
            markers = markers.get("main", "")
        if "main" not in package["groups"] or package["optional"]:
            continue
        if not markers or marker_holds(markers, image.facts["markers"]):
            found[normal(package["name"])] = package["version"]
    return found


@point(
    "packages: exactly poetry.lock's main group",
    "build it again from this lock; what only tests need belongs into the dev group",
)
def as_locked(image: Image) -> str:
    """Every package of the main group is there in its version, and no other one is."""
    have = {}
    for path, file in image.files.items():
        if path.endswith(".dist-info/METADATA"):
            head = dict(re.findall(r"^(Name|Version): (.+)$", file.text.partition("\n\n")[0], re.MULTILINE))
            have[normal(head["Name"])] = head["Version"].strip()
    want = locked(image)
    found = [
        f"{name} {have.get(name, 'missing')} (locked: {want.get(name, 'not at all')})"
        for name in sorted(have.keys() | want.keys())
        if have.get(name) != want.get(name)
    ]
    return none_of(found, f"{len(have)} packages")


@point(
    "packages: every file as in its wheel's RECORD",
    "build it again without cache; if it stays, find out who changed the file",
)
def as_recorded(image: Image) -> str:
    """Every file of a package has the hash that its RECORD names, and no RECORD leaves a file out.

    The build has checked the wheels, RECORD included, against the hashes in poetry.lock; the project's own
    RECORD it has written.
    """
    recorded = {}
    for path, file in image.files.items():
        if path.endswith(".dist-info/RECORD"):
            folder = path.rpartition("/")[0].rpartition("/")[0]
            for line in file.text.splitlines():
                name, digest, _ = line.rsplit(",", 2)
                recorded[os.path.normpath(f"{folder}/{name.strip(chr(34))}")] = digest.removeprefix("sha256=")
    found = [
        path
        for path, digest in recorded.items()
        if path not in image.files or digest not in ("", image.files[path].digest)
    ]
    for path, file in image.files.items():
        if path.startswith("app/") and file.kind == tarfile.REGTYPE and path not in recorded:
            found += [path] if not any(fnmatch(path, pattern) for pattern in MADE) else []
    return none_of(found, f"{len(recorded)} files")


@point(
    "bytecode: that of the sources",
    "Dockerfile: docker/bytecode.py has to run after the last change of a source",
)
def bytecode_is_fresh(image: Image) -> str:
    """Python does not compare them at the start, since it is told that nothing changes."""
    return none_of(image.facts["stale"], "every file")


@point(
    "labels: true to the project",
    "make image fills them in; for a plain docker build, give its --build-arg options",
)
def labels(image: Image) -> str:
    """The OCI labels are those of pyproject.toml and git; what make could not find out is empty."""
    project = image.pyproject["project"]

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip()

    keys = {"title": "name", "description": "description", "version": "version", "licenses": "license"}
    want = {name: str(project[key]) for name, key in keys.items()}
    patterns = {
        "revision": git("rev-parse", "--verify", "--quiet", "HEAD") or "[0-9a-f]{40}",
        "created": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
        "source": r"https?://[^@]+",
        "base.name": rf".+/python:{project['requires-python'][2:].partition(',')[0]}\S*-slim\S*",
        "base.digest": "sha256:[0-9a-f]{64}",
    }
    given = image.config.get("Labels") or {}
    have = {name.removeprefix("org.opencontainers.image."): str(value) for name, value in given.items()}
    wrong = [name for name, value in want.items() if have.get(name) != value]
    for name, pattern in patterns.items():
        wrong += [] if re.fullmatch(f"({pattern})?", have.get(name, "-")) else [name]
    found = [f"{name} is {have.get(name)!r}" for name in wrong]
    unknown = [name for name in patterns if not have.get(name)]
    return none_of(found, f"not known at the build: {', '.join(unknown)}" if unknown else "all known")


@point(
    "size: within the budget",
    "do without what grew, or raise [tool.image-budget] in pyproject.toml and say why",
)
def size(image: Image) -> str:
    """Each part above the base image is within [tool.image-budget] of pyproject.toml, in MB (10^6 bytes)."""
    parts = {"venv": "app/.venv/", "bytecode": "app/bytecode/", "app": "app/lib/"}
    sizes: dict[str, float] = dict.fromkeys((*parts, "debian"), 0)
    for path, file in image.files.items():
        for part, folder in parts.items():
            sizes[part] += file.size if path.startswith(folder) else 0
    sizes["debian"] = sum(size for size, command in image.history if "mirror.py apt" in command)
    budget: dict[str, float] = image.pyproject["tool"]["image-budget"]
    seen = {part: f"{part} {sizes[part] / 1e6:.1f} of {allowed} MB" for part, allowed in budget.items()}
    over = [part for part, allowed in budget.items() if sizes[part] / 1e6 > allowed]
    return none_of([seen[part] + largest(image, parts.get(part)) for part in over], ", ".join(seen.values()))


def largest(image: Image, folder: str | None) -> str:
    """Return the five largest packages or folders in a part of the image, for a person to see what grew."""
    sizes: dict[str, int] = {}
    for path, file in image.files.items():
        if folder and path.startswith(folder):
            name = re.sub(r"^.*/(site-packages|python3[\d.]*)/", "", path.removeprefix(folder)).partition(
                "/"
            )[0]
            sizes[name] = sizes.get(name, 0) + file.size
    top = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    return f" (largest: {'; '.join(f'{name} {size / 1e6:.1f}' for name, size in top)})" if top else ""


# --- how the service starts ---------------------------------------------------------------------------------


@point(
    "start: healthy within 5 s",
    "the service's log says why; HEALTHCHECK in the Dockerfile names the module to ask",
)
def healthy(image: Image) -> str:
    """The image's own health check says so, and the engine asks it often enough to see it in time."""
    check = image.health
    if not check.get("Test"):
        raise Broken("the image has no HEALTHCHECK (Podman keeps it with --format docker only)")
    if check.get("Interval", 30e9) + check.get("Timeout", 30e9) > START * 1e9:
        raise Broken("HEALTHCHECK: interval and timeout are longer than 5 s together")
    if image.life.start is None:
        raise Broken("not healthy at all; see the log of `docker run`")
    if image.life.start > START:
        raise Late(f"healthy after {image.life.start:.1f} s")
    return f"{image.life.start:.1f} s"


@point(
    "start: read-only, no capability or new privilege",
    "write below /tmp only, declare no VOLUME, listen on a port above 1023",
)
def hardened(image: Image) -> str:
    """Nothing but /tmp can be written."""
    if image.config.get("Volumes"):
        raise Broken(f"a VOLUME is writable: {', '.join(image.config['Volumes'])}")
    with image.running(*HARDENED) as container:
        return container.must_be_healthy()


@point("start: as any user", "make files readable for all (a+rX), and look up no user by its number")
def any_user(image: Image) -> str:
    """OpenShift gives a number that nobody has heard of, and group 0."""
    with image.running("--user", "1000660000:0") as container:
        return container.must_be_healthy()


@point("start: without a network", "connect when it is needed; at the start, wait for nobody")
def no_network(image: Image) -> str:
    """Being alive depends on nobody else."""
    with image.running("--network", "none") as container:
        return container.must_be_healthy()


@point("start: compiles nothing", "import it at the top of a module, where docker/bytecode.py finds it")
def compiles_nothing(image: Image) -> str:
    """Every module comes from its bytecode: Python, asked to be verbose, names no source that it compiled."""
    lines = image.verbose[0]
    found = re.findall(r"^# code object from '?([^'\s]+\.py)'?$", lines, re.MULTILINE)
    count = len(re.findall(r"^# code object from '?[^'\s]+\.pyc'?$", lines, re.MULTILINE))
    if not count:
        raise Broken("no module came from bytecode")
    return none_of(found, f"{count} modules from bytecode")


@point(
    "start: within limits",
    "load less, start fewer threads; or raise LIMITS here and in deploy/kubernetes.yaml",
)
def limits(image: Image) -> str:
    """Memory, CPU and processes as in deploy/kubernetes.yaml suffice for a healthy start."""
    with image.running(*LIMITS) as container:
        if container.state("OOMKilled"):
            raise Broken("killed: out of memory")
        return container.must_be_healthy()


@point(
    "settings: a wrong one ends it with one line",
    "read it in settings.py, with a type and a description of what is allowed",
)
def wrong_settings(image: Image) -> str:
    """Exit status 2, one line that names the variable, no traceback."""
    found = [
        f"{variable}: exit status {code}, {len(text.splitlines())} lines"
        for variable, (code, text) in image.refused.items()
        if code != 2 or len(text.splitlines()) != 1 or variable not in text
    ]
    return none_of(found, "status 2, one line")


{% if cookiecutter.service_type == "fastapi" -%}
@point("settings: honours PORT", "take the port from settings.py")
def port(image: Image) -> str:
    """The service listens where it is told to."""
    with image.running("--env", "PORT=8123") as container:
        if container.get(8123, "/healthz") != [200]:
            raise Broken("nobody answers on 8123")
    return "answers on 8123"


@point(
    "ready: /readyz and /healthz answer 200",
    "app.py: both belong to the contract with whoever runs the service",
)
def ready(image: Image) -> str:
    """Both are there; what they tell apart shows in a stop."""
    if image.life.answers != [200, 200]:
        raise Broken(f"answers: {image.life.answers}")
    return "both"


{% endif -%}
# --- how it lives -------------------------------------------------------------------------------------------


@point(
    "health: a hanging service is unhealthy",
    "healthcheck.py has to ask the service itself, with a time limit",
)
def hangs(image: Image) -> str:
    """Every process but the init is frozen; the health check then fails in its own time limit."""
    with image.running(*(() if image.serves else ("--env", "HEARTBEAT_MAX_AGE=1"))) as container:
        container.must_be_healthy()
        container.python(FREEZE)
        time.sleep(0 if image.serves else 1.5)
        begin = time.monotonic()
        if container.healthy():
            raise Broken("healthy all the same")
    return f"unhealthy after {time.monotonic() - begin:.1f} s"


@point("processes: no zombie stays", "__main__.py: fork_below_init() has to come first")
def no_zombie(image: Image) -> str:
    """A process whose parent has ended becomes the init's, which waits for it."""
    return none_of([f"process {number}" for number in image.life.zombies], "none")


def is_log(line: str) -> bool:
    """Tell whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@point("logs: a JSON object per line, at once", "log through `logging`; print nothing")
def logs(image: Image) -> str:
    """Everything is on stdout while the service runs, not when a buffer is full; stderr stays empty."""
    lines = [*image.life.stdout.splitlines(), *image.life.stderr.splitlines()]
    if not image.life.early_log:
        raise Broken("nothing while it ran" if lines else "nothing at all")
    if image.life.stderr:
        raise Broken(f"on stderr: {image.life.stderr[:80]}")
    return none_of([line[:80] for line in lines if not is_log(line)], f"{len(lines)} lines")


@point("logs: a traceback inside its object", "logs.py: sys.excepthook has to be set")
def tracebacks(image: Image) -> str:
    """Also that of an error that nothing caught."""
    done = docker("run", "--rm", *image.program(TRACEBACK))
    lines = done.stdout.splitlines()
    if len(lines) != 1 or not is_log(lines[0]) or "on purpose" not in lines[0] or "Traceback" not in lines[0]:
        raise Broken(f"{len(lines)} lines on stdout, {len(done.stderr.splitlines())} on stderr")
    return "one line"


@point("logs: no secret", "settings.py: a secret is a SecretStr; never log the environment")
def no_secret(image: Image) -> str:
    """Secret settings, and variables that the service does not know, stay out of the log."""
    texts = [image.life.stdout, image.life.stderr, *(text for _, text in image.refused.values())]
    found = [line[:60] for text in texts for line in text.splitlines() if CANARY in line]
    return none_of(found, f"{len(image.secrets)} variables")


# --- how it ends --------------------------------------------------------------------------------------------


@point(
    "stop: idle, status 0 within 1 s",
    "stop.py takes the signals; a loop of your own has to look at stop.requested",
)
def stops(image: Image) -> str:
    """SIGTERM (docker stop, Kubernetes) and SIGINT (Ctrl-C) alike."""
    if (signal := image.config.get("StopSignal") or "SIGTERM") not in ("SIGTERM", "15"):
        raise Broken(f"STOPSIGNAL is {signal}")
    endings = {"SIGTERM": image.life.ending, "SIGINT": image.verbose[1]}
    for signal, (code, seconds) in endings.items():
        if code:
            raise Broken(f"{signal}: status {code}")
        if seconds > STOP:
            raise Late(f"{signal}: after {seconds:.1f} s")
    return ", ".join(f"{seconds:.1f} s" for _, seconds in endings.values())


{% if cookiecutter.service_type == "fastapi" -%}
@point("stop: every request is answered", "server.py: Server.shutdown; answer within SHUTDOWN_TIMEOUT")
def loses_nothing(image: Image) -> str:
    """Clients that keep their connection, open new ones, or are in the middle of a request, lose nothing."""
    code, counts = image.load
    if code or counts["lost"] or not counts["answered"]:
        raise Broken(
            f"status {code}; {counts['lost']} of {counts['lost'] + counts['answered']} requests lost"
        )
    return f"{counts['answered']} answered, 0 lost"


@point("stop: /readyz goes false first", "app.py: /readyz answers 503 while stop.requested")
def not_ready(image: Image) -> str:
    """Whoever balances the load hears of the stop while the service still answers."""
    if not image.load[1]["not ready"]:
        raise Broken("/readyz never answered 503")
    return f"503 in {image.load[1]['not ready']} answers"


{% else -%}
@point(
    "stop: the job in hand is finished or given back",
    "worker.py: run() must not leave a job; a long one has to call go_on()",
)
def loses_nothing(image: Image) -> str:
    """A job that asks gives the rest back, one that does not is finished; the status is 0 then."""
    for mode, last in {"": "given back", "stubborn": "finished"}.items():
        with image.running(command=(*image.program(JOB), mode)) as container:
            code, seconds = container.kill("TERM")
            if code or last not in docker("logs", container.id).stdout:
                raise Broken(f"status {code} after {seconds:.1f} s, but the job was not {last}")
    return "both"


{% endif -%}
@point("stop: a second signal ends it at once", "stop.py: the second signal has to call os._exit")
def second_signal(image: Image) -> str:
    """Whoever presses Ctrl-C twice means it, even while something is in hand."""
    {%- if cookiecutter.service_type == "fastapi" %}
    with image.running() as container, container.client(HOLD):
        code, seconds = container.kill("TERM", "TERM")
    {%- else %}
    with image.running(command=(*image.program(JOB), "stubborn")) as container:
        code, seconds = container.kill("TERM", "TERM")
    {%- endif %}
    if code != 128 + 15:
        raise Broken(f"status {code} after {seconds:.1f} s")
    if seconds > STOP:
        raise Late(f"after {seconds:.1f} s")
    return f"{seconds:.1f} s"


def judge(image: Image, point: Point) -> tuple[bool, str]:
    """Return whether a point holds, and what was seen. Raises Late."""
    try:
        return True, point.check(image)
    except Late:
        raise
    except Broken as broken:
        return False, str(broken)
    except subprocess.TimeoutExpired as error:
        return False, f"no end after {error.timeout:.0f} s"


def judge_alone(name: str, point: Point) -> tuple[bool, str]:
    """Judge a point that was late up to three times more, while nothing else runs."""
    seen = ""
    for _ in range(3):
        try:
            return judge(Image(name), point)
        except Late as late:
            seen = str(late)
    return False, seen


def main(arguments: list[str]) -> int:
    """Print the table; return the exit status."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    name, *words = arguments
    points = [point for point in CONTRACT if not words or point.name.partition(":")[0] in words]
    try:
        image = Image(name)
        # The threads share these, and timing suffers from neighbours.
        _ = image.files, image.facts, image.history
        for shared in () if words else ("life", "verbose", "refused", "load"):
            with suppress(Broken, AttributeError, subprocess.TimeoutExpired):
                getattr(image, shared)
    except (Broken, OSError) as error:  # OSError: no such engine, not the project's folder
        print(f"{name} can't be examined: {error}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(judge, image, point) for point in points]
    failed = 0
    for point, future in zip(points, futures, strict=True):
        held, seen = judge_alone(name, point) if isinstance(future.exception(), Late) else future.result()
        print(f"{'held' if held else 'FAILED':7}{point.name:51}{seen}", flush=True)
        if not held:
            failed += 1
            print(f"{'':7}  to put it right: {point.fix}")
    print(f"{name}: {len(points) - failed} of {len(points)} points hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
