"""Measure the template's image build side by side with the recipes that people copy: `make bench`.

One reference service (a rendered project, with the dependencies and the module in reference/) is built with the template's own
Dockerfile and with those in rivals/. Every number is a median over RUNS repetitions; within one, the recipes take turns at each
scenario, and they never share a cache. Prints a table; writes results/bench.json and results/bench.svg.

    RUNS=3   repetitions, at least 1
    ONLY=    parts and recipes, separated by spaces; empty means all. Parts: builds (time and bytes fetched), images (size, start,
             memory), growth (10, 50 and 150 packages), runner (a CI machine with an empty cache), render. Recipes: see RECIPES.

It empties the builder cache of the engine, so it takes only that of tests/lab/lab (its exports must be set). Exit status: 0 done,
1 a build or a container failed (its last lines are shown), 2 a setting is wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gzip
import hashlib
import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import IO, Any, NoReturn

from cookiecutter.main import cookiecutter
from plot import plot

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LAB = ROOT / "tests" / "lab" / "lab"
RESULTS = HERE / "results"
PACKAGE = "reference_service"
PYTHON, SUITE = "3.14", "forky"
USER = "10001:10001"
GIVE_UP = 900  # seconds for one command
PARTS = ("builds", "images", "growth", "runner", "render")
SCENARIOS = {
    "cold": "cold build",
    "noop": "nothing changed",
    "code": "code change",
    "bump": "version bump",
    "dev": "dev-dependency change",
    "add": "one dependency added",
}
GROWTH = (10, 50, 150)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way to build the service: its name in the table, its Dockerfile (ours: the project's own), the image's Python."""

    title: str
    dockerfile: Path | None
    python: str


RECIPES = {
    "ours": Recipe("this template", None, "/app/.venv/bin/python"),
    "uv": Recipe("uv's example", HERE / "rivals/uv.Dockerfile", "/app/.venv/bin/python"),
    "poetry": Recipe("popular Poetry recipe", HERE / "rivals/poetry.Dockerfile", "/app/.venv/bin/python"),
    "naive": Recipe("naive single stage", HERE / "rivals/naive.Dockerfile", "python"),
    "note": Recipe("2020 note", HERE / "rivals/note-2020.Dockerfile", "/.venv/bin/python"),
}


@dataclasses.dataclass(frozen=True)
class Build:
    """What one build took: seconds, and bytes that the mirror served."""

    seconds: float
    fetched: int


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def refuse(text: str) -> NoReturn:
    """End with status 2: a setting is wrong, nothing was measured."""
    say(text)
    raise SystemExit(2)


def run(*command: str, stdin: str | None = None) -> str:
    """Return what a command prints. Ends with status 1 and its last lines when it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=GIVE_UP,
            check=False,
        )
    except subprocess.TimeoutExpired:
        say(f"gave up after {GIVE_UP} s: {' '.join(command)}")
        raise SystemExit(1) from None
    if done.returncode:
        say("\n".join([f"failed: {' '.join(command)}", *done.stdout.splitlines()[-30:]]))
        raise SystemExit(1)
    return done.stdout


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Return what a docker command prints."""
    return run("docker", *arguments, stdin=stdin)


def network() -> list[str]:
    """Return the options that bring a build or a container to the lab's mirror."""
    return ["--network", "host", "--add-host", f"mirror.kakao.com:{os.environ['LAB_MIRROR_IP']}"]


# --- the projects that are built ------------------------------------------------------------------------------------------


def render(folder: Path, service: str = "fastapi", *, name: str = "Reference Service") -> Path:
    """Render the template into `folder`, hooks included; return the project."""
    answers = {"project_name": name, "python_version": PYTHON, "service_type": service, "mirror": "kakao"}
    return Path(
        cookiecutter(
            str(ROOT), no_input=True, default_config=True, extra_context=answers, output_dir=str(folder)
        )
    )


def edit(path: Path, old: str, new: str) -> None:
    """Replace the only occurrence of `old` in a file; ends with status 1 when the template no longer has it."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        say(f"{path.name} of a rendered project no longer has one {old!r}: bench.py must follow")
        raise SystemExit(1)
    path.write_text(text.replace(old, new), encoding="utf-8")


def depend(project: Path, lines: Iterable[str], table: str = "dependencies = [\n") -> None:
    """Add dependencies to pyproject.toml: to the project's own, or to the group whose `table` line is given."""
    edit(project / "pyproject.toml", table, table + "".join(f'    "{line}",\n' for line in lines))


def lock(project: Path) -> None:
    """Bring poetry.lock and uv.lock up to date, as a developer would: what is locked stays where it fits."""
    index = "https://mirror.kakao.com/pypi/simple/"
    docker(
        *(
            "run",
            "--rm",
            *network(),
            "-v",
            f"{project}:/project",
            "-w",
            "/project",
            "-v",
            "bench-locks:/root/.cache",
        ),
        *("-e", f"POETRY_PYPI_MIRROR_URL={index}", "-e", f"UV_DEFAULT_INDEX={index}"),
        *("bench-tools", "sh", "-c", "poetry lock --no-interaction && uv lock"),
    )


def locked(project: Path) -> dict[str, str]:
    """Return name -> version of the project's main dependencies, as both locks agree on them.

    Ends with status 1 when the locks differ, since the recipes would then install different things.
    """
    packages = tomllib.loads((project / "poetry.lock").read_text(encoding="utf-8"))["package"]
    others = tomllib.loads((project / "uv.lock").read_text(encoding="utf-8"))["package"]
    poetry, uv = (
        {p["name"]: p["version"] for p in found if p["name"] != project.name} for found in (packages, others)
    )
    if differing := sorted(name for name in poetry.keys() | uv.keys() if poetry.get(name) != uv.get(name)):
        say(f"poetry.lock and uv.lock differ in: {', '.join(differing)}")
        raise SystemExit(1)
    return {package["name"]: package["version"] for package in packages if "main" in package["groups"]}


def history(project: Path) -> dict[str, Path]:
    """Return the project at every commit of a small history: cold (and noop), code, bump, dev, add.

    Each is the one before with one change, in a folder beside it, with both locks up to date.
    """

    def commit(scenario: str) -> Path:
        folder = project.parent / scenario / project.name
        return Path(shutil.copytree(project, folder))

    states = {"cold": commit("cold")}
    states["noop"] = states["cold"]
    with (project / "src" / PACKAGE / "__init__.py").open("a", encoding="utf-8") as module:
        module.write('\n\ndef answer() -> int:\n    """Return what a commit may add."""\n    return 42\n')
    states["code"] = commit("code")
    edit(project / "pyproject.toml", '\nversion = "0.1.0"', '\nversion = "0.1.1"')
    lock(project)
    states["bump"] = commit("bump")
    depend(project, ["pytest-mock==3.15.1"], "dev = [\n")
    lock(project)
    states["dev"] = commit("dev")
    depend(project, ["humanize==4.15.0"])
    lock(project)
    with (project / "src" / PACKAGE / "__init__.py").open("a", encoding="utf-8") as module:
        module.write("\n\nimport humanize as humanize\n")
    states["add"] = commit("add")
    return states


def reference(folder: Path) -> dict[str, Path]:
    """Return the history of the reference service; its first locks are kept in reference/, and written back there."""
    project = render(folder / "source")
    depend(project, (HERE / "reference" / "dependencies.txt").read_text(encoding="utf-8").split())
    shutil.copy(HERE / "reference" / "workload.py", project / "src" / PACKAGE)
    with (project / "src" / PACKAGE / "app.py").open("a", encoding="utf-8") as app:
        app.write("\n\nfrom . import workload as workload\n")
    kept = [name for name in ("poetry.lock", "uv.lock") if (HERE / "reference" / name).exists()]
    for name in kept:
        shutil.copy(HERE / "reference" / name, project)
    lock(project)
    for name in ("poetry.lock", "uv.lock"):
        shutil.copy(project / name, HERE / "reference")
    say(f"the reference service has {len(locked(project))} locked packages")
    return history(project)


def growing(folder: Path, size: int) -> dict[str, Path]:
    """Return the history of a worker that depends on `size` packages, the first ones in growth.txt."""
    project = render(folder / str(size), "worker")
    own = tomllib.loads((project / "poetry.lock").read_text(encoding="utf-8"))["package"]
    more = size - sum("main" in package["groups"] for package in own)
    depend(project, (HERE / "reference" / "growth.txt").read_text(encoding="utf-8").split()[:more])
    lock(project)
    if len(locked(project)) != size:
        say(f"growth.txt gives {len(locked(project))} packages, not {size}")
        raise SystemExit(1)
    return history(project)


# --- building -------------------------------------------------------------------------------------------------------------


def served(start: int) -> list[list[str]]:
    """Return the requests in the mirror's log after byte `start`: fields in the order of the lab's log format."""
    with Path(os.environ["LAB_MIRROR_LOG"]).open(encoding="utf-8") as log:
        log.seek(start)
        return [line.split() for line in log]


def build(name: str, scenario: str, project: Path, *options: str) -> Build:
    """Build `project` with the recipe `name` into the image bench-`name`:`scenario`.

    A cold build uses no cached layer and begins with empty cache mounts (BuildKit's --no-cache means both), and is done again
    when the mirror had to ask upstream for something. Each recipe has cache mounts of its own.
    """
    recipe = RECIPES[name]
    command = [
        "build",
        *network(),
        "--build-arg",
        f"DEBIAN_SUITE={SUITE}",
        "--build-arg",
        f"BUILDKIT_CACHE_MOUNT_NS={name}",
    ]
    if recipe.dockerfile:
        # A rival brings its own .dockerignore: none, the tree holds nothing that it should leave out.
        copy = project.parent / recipe.dockerfile.name
        shutil.copy(recipe.dockerfile, copy)
        copy.with_name(f"{copy.name}.dockerignore").touch()
        command += ["--file", str(copy)]
    if scenario == "cold":
        command.append("--no-cache")
    while True:
        os.sync()
        log = Path(os.environ["LAB_MIRROR_LOG"]).stat().st_size
        start = time.perf_counter()
        docker(*command, "--tag", f"bench-{name}:{scenario}", *options, str(project))
        seconds = time.perf_counter() - start
        requests = served(log)
        if scenario != "cold" or all(fields[4] == "HIT" for fields in requests):
            return Build(seconds, sum(int(fields[2]) for fields in requests))
        say("the mirror was not warm: once more")


def empty_caches() -> None:
    """Remove everything that a build could take from an earlier one."""
    docker("builder", "prune", "--all", "--force")


def measure_builds(recipes: Sequence[str], states: Mapping[str, Path], runs: int) -> dict[str, Any]:
    """Return recipe -> scenario -> seconds and bytes fetched, a value for each run."""
    found: dict[str, Any] = {name: {s: {"seconds": [], "fetched": []} for s in SCENARIOS} for name in recipes}
    for number in range(runs):
        empty_caches()
        for scenario in SCENARIOS:
            for name in rotated(recipes, number):
                result = build(name, scenario, states[scenario])
                found[name][scenario]["seconds"].append(round(result.seconds, 3))
                found[name][scenario]["fetched"].append(result.fetched)
                say(
                    f"run {number + 1} of {runs}: {SCENARIOS[scenario]}, {RECIPES[name].title}: {result.seconds:.1f} s"
                )
    return found


def rotated(names: Sequence[str], number: int) -> list[str]:
    """Return `names` with another one first in each run, so that none always has the same place."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


# --- images ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer of an image: digest of what it unpacks to, bytes unpacked and as a registry would store it (gzip)."""

    digest: str
    unpacked: int
    packed: int


def layers(image: str) -> list[Layer]:
    """Return the layers of an image, the lowest first."""
    with tempfile.TemporaryFile() as file:
        with subprocess.Popen(("docker", "save", image), stdout=subprocess.PIPE) as save:
            assert save.stdout
            shutil.copyfileobj(save.stdout, file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:

            def read(name: str) -> IO[bytes]:
                member = archive.extractfile(name)
                assert member
                return member

            return [weigh(read(name)) for name in json.load(read("manifest.json"))[0]["Layers"]]


def weigh(blob: IO[bytes]) -> Layer:
    """Return the layer in a blob, which holds it either as it is or packed with gzip."""
    is_packed = blob.read(2) == b"\x1f\x8b"
    size = blob.seek(0, os.SEEK_END)
    blob.seek(0)
    if is_packed:
        with gzip.GzipFile(fileobj=blob) as plain:
            return Layer(hashlib.file_digest(plain, "sha256").hexdigest(), plain.tell(), size)
    digest = hashlib.file_digest(blob, "sha256").hexdigest()
    blob.seek(0)
    coder = zlib.compressobj(wbits=31)
    packed = sum(len(coder.compress(chunk)) for chunk in iter(lambda: blob.read(1 << 20), b""))
    return Layer(digest, size, packed + len(coder.flush()))


def compile_everything() -> None:
    """Build the control: our image with bytecode for the whole of its standard library and venv, as bench-control:cold."""
    docker(
        *("build", "--tag", "bench-control:cold", "-"),
        stdin="""\
FROM bench-ours:cold
USER 0
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" >/dev/null; true
USER 10001:10001
""",
    )


def sandbox(image: str, *options: str) -> list[str]:
    """Return the arguments that run `image` as a hardened cluster would: read-only root, a number as the user."""
    return ["run", *options, "--network", "host", "--read-only", "--tmpfs", "/tmp", "--user", USER, image]


def import_seconds(image: str, python: str) -> float:
    """Return how long it takes to import the service in a fresh container, in seconds."""
    code = f"import time; t = time.perf_counter(); import {PACKAGE}.__main__; print(time.perf_counter() - t)"
    return float(docker(*sandbox(image, "--rm", "--entrypoint", python), "-c", code))


@dataclasses.dataclass(frozen=True)
class Start:
    """A start of the service: seconds from the container's start to the first answer, then bytes of memory when idle."""

    answer: float
    memory: int


def start(image: str) -> Start:
    """Start the service in a container; wait for GET /healthz to answer. Ends with status 1 when it does not within 60 s."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    container = docker(*sandbox(image, "--detach", "--env", f"PORT={port}")).strip()
    try:
        started = datetime.datetime.fromisoformat(
            docker("inspect", "--format", "{{.State.StartedAt}}", container).strip()
        )
        while not healthy(port):
            if datetime.datetime.now(datetime.UTC) - started > datetime.timedelta(seconds=60):
                say(f"{image} does not answer\n{docker('logs', container)}")
                raise SystemExit(1)
            time.sleep(0.005)
        answer = (datetime.datetime.now(datetime.UTC) - started).total_seconds()
        time.sleep(1)
        processes = docker("top", container, "-o", "pid").split()[1:]
        return Start(answer, sum(resident(int(process)) for process in processes))
    finally:
        docker("rm", "--force", container)


def healthy(port: int) -> bool:
    """Return whether the service answers GET /healthz with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def resident(process: int) -> int:
    """Return the memory of a process in bytes; pages that it shares with others count in proportion (PSS)."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("smaps_rollup has no Pss")


def measure_images(recipes: Sequence[str], states: Mapping[str, Path], runs: int) -> dict[str, Any]:
    """Return recipe -> size of its image, of what a code change adds, times to start, and memory; with the control."""
    found: dict[str, Any] = {}
    for name in recipes:
        for scenario in ("cold", "code"):
            if not docker("images", "--quiet", f"bench-{name}:{scenario}"):
                build(name, scenario, states[scenario])
        old, new = layers(f"bench-{name}:cold"), layers(f"bench-{name}:code")
        known = {layer.digest for layer in old}
        added = [layer for layer in new if layer.digest not in known]
        found[name] = {
            "unpacked": sum(layer.unpacked for layer in old),
            "packed": sum(layer.packed for layer in old),
            "added_unpacked": sum(layer.unpacked for layer in added),
            "added_packed": sum(layer.packed for layer in added),
        }
        say(f"{RECIPES[name].title}: {found[name]['unpacked'] / 1e6:.0f} MB")
    images = {name: RECIPES[name].python for name in recipes}
    if "ours" in images:
        compile_everything()
        images["control"] = images["ours"]
        found["control"] = {"unpacked": sum(layer.unpacked for layer in layers("bench-control:cold"))}
    for name in images:
        found[name] |= {"import": [], "answer": [], "memory": []}
        start(f"bench-{name}:cold")  # not counted: it fills the page cache
    rounds = max(5, runs)
    for number in range(rounds):
        for name in rotated(list(images), number):
            image = f"bench-{name}:cold"
            found[name]["import"].append(round(import_seconds(image, images[name]), 4))
            first = start(image)
            found[name]["answer"].append(round(first.answer, 4))
            found[name]["memory"].append(first.memory)
        say(f"start {number + 1} of {rounds} of each image")
    return found


# --- the rest -------------------------------------------------------------------------------------------------------------


def measure_growth(folder: Path, runs: int) -> dict[str, Any]:
    """Return number of packages -> scenario -> seconds and bytes fetched, for our own recipe."""
    return {str(size): measure_builds(["ours"], growing(folder, size), runs)["ours"] for size in GROWTH}


def measure_runner(states: Mapping[str, Path], runs: int) -> dict[str, Any]:
    """Return what a code change costs with a registry cache: on a machine that has built before, and on an empty one."""
    cache = f"{run(str(LAB), 'registry').splitlines()[-1]}/bench"
    options = ["--push", "--tag", f"{cache}:image", "--cache-from", f"type=registry,ref={cache}:cache"]
    found: dict[str, Any] = {"warm": {"seconds": [], "fetched": []}, "empty": {"seconds": [], "fetched": []}}
    for number in range(runs):
        empty_caches()
        build(
            "ours",
            "cold",
            states["cold"],
            *options,
            "--cache-to",
            f"type=registry,ref={cache}:cache,mode=max",
        )
        for machine, measured in found.items():
            if machine == "empty":
                docker("image", "rm", "--force", "bench-ours:code", f"{cache}:image")
                empty_caches()
            result = build("ours", "code", states["code"], *options)
            measured["seconds"].append(round(result.seconds, 3))
            measured["fetched"].append(result.fetched)
        say(
            f"run {number + 1} of {runs}: code change, warm {found['warm']['seconds'][-1]} s, empty {found['empty']['seconds'][-1]} s"
        )
    return found


def measure_render(folder: Path, runs: int) -> dict[str, Any]:
    """Return how long it takes to scaffold a project, hooks included, in this process."""
    seconds = []
    for number in range(max(5, runs) + 1):
        start = time.perf_counter()
        render(folder / str(number))
        seconds.append(round(time.perf_counter() - start, 4))
    return {"seconds": seconds[1:]}  # the first one loads cookiecutter


# --- what comes out -------------------------------------------------------------------------------------------------------

Row = tuple[str, Callable[[dict[str, Any]], float], str]


def rows() -> list[Row]:
    """Return the lines of the table: a title, how to find the value in a recipe's results, its unit (see `shown`)."""

    def of_build(scenario: str, kind: str) -> Callable[[dict[str, Any]], float]:
        return lambda recipe: median(recipe["builds"][scenario][kind])

    found: list[Row] = [(title, of_build(name, "seconds"), "s") for name, title in SCENARIOS.items()]
    found += [(f"fetched: {title}", of_build(name, "fetched"), "B") for name, title in SCENARIOS.items()]
    found += [
        ("image on disk", lambda recipe: recipe["images"]["unpacked"], "B"),
        ("image compressed", lambda recipe: recipe["images"]["packed"], "B"),
        ("new layers after a code change", lambda recipe: recipe["images"]["added_unpacked"], "B"),
        ("the same, compressed", lambda recipe: recipe["images"]["added_packed"], "B"),
        ("import of the service", lambda recipe: median(recipe["images"]["import"]), "s"),
        ("start to first answer", lambda recipe: median(recipe["images"]["answer"]), "s"),
        ("memory when idle", lambda recipe: median(recipe["images"]["memory"]), "B"),
    ]
    return found


def shown(value: float | None, unit: str) -> str:
    """Return a value for people: seconds, or bytes as kB or MB."""
    if value is None:
        return "-"
    if unit == "s":
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    if value == 0:
        return "0"
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"


def grid(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    every = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in every)


def table(recipes: Mapping[str, Any]) -> str:
    """Return the comparison of the recipes, with ours divided by uv's and by the note's."""
    names = [name for name in (*RECIPES, "control") if name in recipes]
    titles = {name: recipe.title for name, recipe in RECIPES.items()} | {"control": "ours, all compiled"}
    against = [name for name in ("uv", "note") if name in names and "ours" in names]
    lines = []
    for title, find, unit in rows():
        values = {}
        for name in names:
            with contextlib.suppress(KeyError):
                values[name] = find(recipes[name])
        if values:
            ratios = [
                f"{values['ours'] / values[a]:.2f}" if "ours" in values and values.get(a) else "-"
                for a in against
            ]
            lines.append([title, *(shown(values.get(name), unit) for name in names), *ratios])
    return grid(
        ["", *(titles[name] for name in names), *(f"ours / {titles[name]}" for name in against)], lines
    )


def report(results: Mapping[str, Any]) -> str:
    """Return all results as Markdown."""
    parts = []
    if results["recipes"]:
        parts.append(table(results["recipes"]))
    if growth := results.get("growth"):
        lines = [
            [title, *(shown(median(size[name]["seconds"]), "s") for size in growth.values())]
            for name, title in SCENARIOS.items()
        ]
        parts.append(grid(["ours, by locked packages", *growth], lines))
    if runner := results.get("runner"):
        lines = [
            [f"code change, {m} machine", shown(median(v["seconds"]), "s"), shown(median(v["fetched"]), "B")]
            for m, v in runner.items()
        ]
        parts.append(grid(["registry cache", "time", "fetched from the mirror"], lines))
    if render := results.get("render"):
        parts.append(f"One render with hooks, in-process: {median(render['seconds']) * 1000:.0f} ms\n")
    machine = results["machine"]
    parts.append(
        f"Measured {results['date']} on {machine['cpu']}, {machine['cores']} cores, {machine['memory']}; {machine['engine']}; medians of {results['runs']}.\n"
    )
    return "\n".join(parts)


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, engine."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    cpu = next(line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name"))
    engine = docker("info", "--format", "Docker {{.ServerVersion}} ({{.Driver}})").strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory": f"{memory / 2**30:.0f} GiB",
        "engine": engine,
        "kernel": platform.release(),
    }


def chosen() -> tuple[list[str], list[str], int]:
    """Return the parts, the recipes and the number of runs that ONLY and RUNS ask for. Ends with status 2 on a wrong one."""
    only = os.environ.get("ONLY", "").split()
    if unknown := sorted(set(only) - set(PARTS) - set(RECIPES)):
        refuse(f"ONLY names {', '.join(unknown)}; allowed: {' '.join((*PARTS, *RECIPES))}")
    runs = os.environ.get("RUNS", "3")
    if not (runs.isdecimal() and int(runs) > 0):
        refuse(f"RUNS is {runs!r}; allowed: a number from 1")
    if missing := [
        name for name in ("DOCKER_HOST", "LAB_MIRROR_IP", "LAB_MIRROR_LOG") if name not in os.environ
    ]:
        refuse(f'{", ".join(missing)} not set; first: eval "$(tests/lab/lab env)"')
    return (
        [p for p in PARTS if p in only] or list(PARTS),
        [r for r in RECIPES if r in only] or list(RECIPES),
        int(runs),
    )


def measure(parts: Sequence[str], recipes: Sequence[str], runs: int, folder: Path) -> dict[str, Any]:
    """Return the results of the chosen parts; projects are rendered into `folder`."""
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "runs": runs,
        "recipes": {},
    }
    if "render" in parts:
        results["render"] = measure_render(folder / "render", runs)
    if parts == ["render"]:
        return results
    tools = render(folder / "tools")
    for target in ("tools", "uv"):
        docker(
            *(
                "build",
                *network(),
                "--build-arg",
                f"DEBIAN_SUITE={SUITE}",
                "--target",
                target,
                "--tag",
                f"bench-{target}",
            ),
            *("--file", str(HERE / "tools.Dockerfile"), str(tools)),
        )
    states = reference(folder / "reference")
    for part, function in (("builds", measure_builds), ("images", measure_images)):
        if part in parts:
            for name, found in function(recipes, states, runs).items():
                results["recipes"].setdefault(name, {})[part] = found
    if "growth" in parts:
        results["growth"] = measure_growth(folder / "growth", runs)
    if "runner" in parts:
        results["runner"] = measure_runner(states, runs)
    return results


def clean_up() -> None:
    """Remove what was made in the engine."""
    images = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=bench-*").split()
    images += docker(
        "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*/bench"
    ).split()
    if images:
        docker("image", "rm", "--force", *images)
    docker("volume", "rm", "--force", "bench-locks")
    empty_caches()


def main() -> None:
    """Measure, print, write."""
    parts, recipes, runs = chosen()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            results = measure(parts, recipes, runs, Path(folder))
        finally:
            clean_up()
    print(report(results))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if all(
        "builds" in results["recipes"].get(name, {}) and "images" in results["recipes"][name]
        for name in recipes
    ):
        (RESULTS / "bench.svg").write_text(plot(results), encoding="utf-8")
    say(f"done in {(time.perf_counter() - began) / 60:.0f} minutes; benchmarks/results/ holds the figures")


if __name__ == "__main__":
    main()
