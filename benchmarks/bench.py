"""Measure the template's image build side by side with the recipes that people copy: `make bench`.

One reference service (a rendered project with the dependencies and imports in reference/) is built with its own
Dockerfile and with those in rivals/. In a repetition the recipes take turns at each scenario; each has its own caches.
Every figure is a median. Prints tables. With three repetitions or more it also keeps what it has measured, with the
day, in results/bench.json and .svg, which the READMEs show; what it has not measured stays there as it was.

    RUNS   repetitions, 3 unless set (a start is measured at least five times)
    ONLY   what to measure, separated by spaces, all unless set: parts (PARTS below) and recipes (RECIPES in engine.py)

It empties the engine's builder cache, so it runs on the lab's engine only. Exit status: 0 done, 1 something failed (its
last lines are shown), 2 a setting is wrong.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import engine, report
from benchmarks.engine import HERE, RECIPES, SUITE, build, empty_caches, fail, say
from benchmarks.projects import PACKAGE, SCENARIOS, append, growing, reference, render
from tests.lab.engine import LAB, CommandError, docker, layers, network, run

PARTS = {
    "builds": "time and bytes fetched",
    "images": "size, start, memory",
    "growth": "10, 50 and 150 packages",
    "runner": "a CI machine with an empty cache",
    "pipeline": "the commands of a generated CI pipeline",
    "compression": "an image pushed and pulled",
    "lazy": "lazy imports, which Python has since 3.15",
    "render": "scaffolding",
}
GROWTH = (10, 50, 150)
# A change whose new layers are weighed, and what its image is compared with.
PUSHED = {"code": "cold", "add": "dev", "update": "add"}
ON_RUNNER = ("ours", "uv")
# What CI runs before a deployment, in its order.
PIPELINE = ("check", "image", "check-image", "sbom", "push")
COMPRESSIONS = ("gzip", "zstd")
KEPT = 3  # repetitions, from which on the results are kept
RESULTS = HERE / "results"
History = Mapping[str, Path]
Results = dict[str, Any]


def rotated(names: Sequence[str], number: int) -> list[str]:
    """Return `names` beginning with another one in each run, so that none always has the same place."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def measure_builds(names: Sequence[str], history: History, runs: int) -> Results:
    """Return recipe -> scenario -> seconds and bytes fetched, one of each per run."""
    found: Results = {name: {s: {"seconds": [], "fetched": []} for s in SCENARIOS} for name in names}
    for number in range(runs):
        empty_caches()
        for scenario, title in SCENARIOS.items():
            for name in rotated(names, number):
                seconds, fetched = build(name, scenario, history[scenario])
                found[name][scenario]["seconds"].append(round(seconds, 3))
                found[name][scenario]["fetched"].append(fetched)
                say(f"run {number + 1} of {runs}: {title}, {RECIPES[name].title}: {seconds:.1f} s")
    return found


def measure_sizes(name: str, history: History) -> Results:
    """Return the bytes of an image, unpacked and packed, and of the layers that a change made new: what is pushed."""
    for scenario in ("cold", *PUSHED, *PUSHED.values()):
        if not docker("images", "--quiet", f"bench-{name}:{scenario}"):
            build(name, scenario, history[scenario])
    whole = layers(f"bench-{name}:cold")
    found = {kind: sum(getattr(layer, kind) for layer in whole) for kind in ("unpacked", "packed")}
    for scenario, earlier in PUSHED.items():
        added = layers(f"bench-{name}:{scenario}", beside=f"bench-{name}:{earlier}")
        found[f"{scenario}_unpacked"] = sum(layer.unpacked for layer in added)
        found[f"{scenario}_packed"] = sum(layer.packed for layer in added)
    return found


def measure_images(names: Sequence[str], history: History, runs: int) -> Results:
    """Return recipe -> sizes, and per start: seconds to import and to the first answer, memory."""
    found: Results = {}
    for name in names:
        found[name] = measure_sizes(name, history)
        say(f"weighed {RECIPES[name].title}")
    pythons = {name: RECIPES[name].python for name in names}
    for name in pythons:
        found[name] |= {"import": [], "answer": [], "memory": []}
        engine.start(f"bench-{name}:cold")  # not counted: it brings the image into memory
    rounds = max(5, runs)
    for number in range(rounds):
        for name in rotated(list(pythons), number):
            image = f"bench-{name}:cold"
            found[name]["import"].append(round(engine.import_seconds(image, pythons[name], PACKAGE), 4))
            answer, memory = engine.start(image)
            found[name]["answer"].append(round(answer, 4))
            found[name]["memory"].append(memory)
        say(f"start {number + 1} of {rounds} of every image")
    return found


def measure_growth(folder: Path, runs: int) -> Results:
    """Return number of locked packages -> scenario -> seconds and bytes fetched, for our own recipe."""
    found = {}
    for size in GROWTH:
        say(f"growth: {size} packages")
        found[str(size)] = measure_builds(["ours"], growing(folder / str(size), size), runs)["ours"]
    return found


def measure_runner(history: History, runs: int) -> Results:
    """Return recipe -> machine -> what a code change costs with a registry cache, from sources to a pushed image.

    The machines are one that has built before, and a new one that has only the base image. The image is loaded into the
    engine and checked: it starts and answers. What was pushed before is in the registry. Neither machine writes to the
    cache, or else the second one would find the change there.
    """
    registry = run(str(LAB), "registry").split()[-1]
    found: Results = {}
    for name in ON_RUNNER:
        found[name] = {machine: {"seconds": [], "fetched": [], "pushed": []} for machine in ("warm", "new")}
        cache, image = f"type=registry,ref={registry}/bench-{name}:cache", f"bench-{name}:code"
        options = ["--cache-from", cache]
        for number in range(runs):
            empty_caches()
            engine.forget_images(name)
            build(name, "cold", history["cold"], *options, "--cache-to", f"{cache},mode=max,compression=zstd")
            engine.push(f"bench-{name}:cold", registry)
            for machine, measured in found[name].items():
                if machine == "new":
                    engine.forget_images(name)
                    empty_caches()
                began = time.perf_counter()
                _, fetched = build(name, "code", history["code"], *options)
                engine.start(image)
                pushed = engine.push(image, registry)
                seconds = time.perf_counter() - began
                for kind, figure in (("seconds", round(seconds, 3)), ("fetched", fetched), ("pushed", pushed)):
                    measured[kind].append(figure)
                say(f"run {number + 1} of {runs}: {machine} machine, {RECIPES[name].title}: {seconds:.1f} s")
    return found


def measure_pipeline(folder: Path, runs: int) -> Results:
    """Return commit -> command -> seconds, one per run: what CI runs for the default service, up to the push.

    The commits are the first one and a change of its code. For each, the machine has only the base image, and empty
    caches; the registry has what the commit before has pushed, its build cache as well. `make check` runs in a
    container of the base image, which has the Python of the project.
    """
    registry = run(str(LAB), "registry").split()[-1]
    project = render(folder)
    git = ("git", "-C", str(project), "-c", "user.name=Bench", "-c", "user.email=bench@example.com")
    run(*git, "init", "--quiet")
    found: Results = {commit: {command: {"seconds": []} for command in PIPELINE} for commit in report.COMMITS}
    for number in range(runs):
        image = f"{registry}/bench-pipeline-{number}"
        cache = f"type=registry,ref={image}:cache"
        flags = [*network(), "--cache-from", cache, "--cache-to", f"{cache},mode=max,compression=zstd"]
        for commit, of in found.items():
            append(project / "src" / PACKAGE / "app.py", f'\n\nCHANGE = "{commit} {number}"\n')
            run(*git, "add", "--all")
            run(*git, "commit", "--quiet", "--message", commit)
            run(*git, "clean", "--quiet", "--force", "-d", "-x")
            engine.forget_images("*")
            empty_caches()
            for command in PIPELINE:
                # Upstream, as the workflows of GitHub have it; only a container of the lab does not reach that.
                shell = f"SHELL={Path(__file__).parents[1] / 'tests/helpers/container.sh'}"
                env = [f"CONTAINER=python:{engine.PYTHON}-slim-{SUITE}", f"RUN_FLAGS={' '.join(network()[2:])}"]
                settings = [shell, "PYTHON=python3"] if command == "check" else ["PYPI_MIRROR="]
                settings += [f"IMAGE={image}", f"DEBIAN_SUITE={SUITE}", f"BUILD_FLAGS={' '.join(flags)}"]
                settings += [f"XDG_CACHE_HOME={folder}/cache-{commit}-{number}"]
                began = time.perf_counter()
                run("env", *env, "make", "--silent", "--directory", str(project), command, *settings)
                of[command]["seconds"].append(round(time.perf_counter() - began, 3))
            say(f"run {number + 1} of {runs}: pipeline, {report.COMMITS[commit]}")
    return found


def measure_compression(project: Path, runs: int) -> Results:
    """Return compression -> what our image costs with it: bytes, seconds to export and push it, seconds to pull it.

    Before a push, nothing is compressed yet; before a pull, the machine has nothing but the base image.
    """
    registry = run(str(LAB), "registry").split()[-1]
    found: Results = {name: {"push": [], "pull": [], "bytes": []} for name in COMPRESSIONS}
    for number in range(runs):
        for name in rotated(COMPRESSIONS, number):
            empty_caches()
            command = [*engine.command("ours", project), "--provenance=false", str(project)]
            docker(*command, "--output", "type=cacheonly")
            image = f"{registry}/bench-{name}-{number}"
            output = f"type=image,name={image},push=true,oci-mediatypes=true,compression={name},force-compression=true"
            began = time.perf_counter()
            docker(*command, "--output", output)
            pushed = time.perf_counter() - began
            engine.forget_images("*")
            empty_caches()
            began = time.perf_counter()
            docker("pull", "--quiet", image)
            pulled = time.perf_counter() - began
            for kind, figure in (("push", pushed), ("pull", pulled), ("bytes", engine.compressed(image))):
                found[name][kind].append(round(figure, 3))
            say(f"run {number + 1} of {runs}: {name}, pushed in {pushed:.1f} s, pulled in {pulled:.1f} s")
    return found


def measure_lazy(folder: Path, runs: int) -> Results:
    """Return value of PYTHON_LAZY_IMPORTS -> seconds to the first answer, and memory, of the default service."""
    project = render(folder, python="3.15")
    docker("build", *network(), "--build-arg", f"DEBIAN_SUITE={SUITE}", "--tag", "bench-lazy:normal", str(project))
    docker("build", "--tag", "bench-lazy:all", "-", stdin="FROM bench-lazy:normal\nENV PYTHON_LAZY_IMPORTS=all\n")
    found: Results = {value: {"answer": [], "memory": []} for value in report.LAZY}
    for number in range(max(5, runs) + 1):
        for value in rotated([*found], number):
            answer, memory = engine.start(f"bench-lazy:{value}")
            if number:  # the first one brings the image into memory
                found[value]["answer"].append(round(answer, 4))
                found[value]["memory"].append(memory)
    return found


def measure_render(folder: Path, runs: int) -> Results:
    """Return the seconds that one render takes in this process, hooks included."""
    seconds = []
    for number in range(max(5, runs) + 1):
        began = time.perf_counter()
        render(folder / str(number))
        seconds.append(round(time.perf_counter() - began, 4))
    return {"seconds": seconds[1:]}  # the first one loads cookiecutter


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": next(line.partition(":")[2].strip() for line in info if line.startswith("model name")),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "engine": docker("info", "--format", "Docker {{.ServerVersion}}, {{.Driver}}").strip(),
    }


def measure(parts: Sequence[str], names: Sequence[str], runs: int) -> Results:
    """Return the results of the chosen parts and recipes."""
    found: Results = {"date": datetime.date.today().isoformat(), "machine": machine(), "runs": runs, "recipes": {}}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if "render" in parts:
            found["render"] = measure_render(folder / "render", runs)
        engine.tools(render(folder / "tools"))
        history = reference(folder / "reference")
        for part, function in (("builds", measure_builds), ("images", measure_images)):
            if part in parts:
                for recipe, values in function(names, history, runs).items():
                    found["recipes"].setdefault(recipe, {})[part] = values
        if "growth" in parts:
            found["growth"] = measure_growth(folder / "growth", runs)
        if "runner" in parts:
            with engine.containerd_store():
                engine.tools(render(folder / "runner"))
                found["runner"] = measure_runner(history, runs)
        if "pipeline" in parts:
            with engine.containerd_store():
                found["pipeline"] = measure_pipeline(folder / "pipeline", runs)
        if "lazy" in parts:
            found["lazy"] = measure_lazy(folder / "lazy", runs)
        if "compression" in parts:
            with engine.containerd_store():
                found["compression"] = measure_compression(history["cold"], runs)
    return found


def chosen() -> tuple[list[str], list[str], int]:
    """Return the parts, the recipes and the number of runs that the environment asks for."""
    only = os.environ.get("ONLY", "").split()
    runs = os.environ.get("RUNS", "3")
    wrong = []
    if unknown := [name for name in only if name not in {*PARTS, *RECIPES}]:
        wrong.append(f"ONLY names {' '.join(unknown)}; allowed: {' '.join([*PARTS, *RECIPES])}")
    if not runs.isdecimal() or int(runs) < 1:
        wrong.append(f"RUNS is {runs!r}; allowed: a number from 1")
    if any(name not in os.environ for name in ("DOCKER_HOST", "LAB_MIRROR_IP", "LAB_MIRROR_LOG")):
        wrong.append('the lab is not in use; first: eval "$(tests/lab/lab env)"')
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        raise SystemExit(2)
    return [p for p in PARTS if p in only] or [*PARTS], [r for r in RECIPES if r in only] or [*RECIPES], int(runs)


def kept(found: Results, parts: Sequence[str]) -> Results:
    """Return the results of before, in which those of `parts` are new."""
    whole: Results = json.loads((RESULTS / "bench.json").read_text(encoding="utf-8"))
    days = whole.setdefault("days", dict.fromkeys([*RECIPES, *PARTS], whole["date"]))
    days.update(dict.fromkeys([*found["recipes"], *parts], found["date"]))
    for name, values in found.pop("recipes").items():
        whole["recipes"].setdefault(name, {}).update(values)
    return whole | found


def main() -> None:
    """Measure, print, write."""
    parts, names, runs = chosen()
    began = time.perf_counter()
    try:
        found = measure(parts, names, runs)
    except CommandError as failed:
        fail(str(failed))
    finally:
        engine.clean_up()
    print(report.tables(found))
    say(f"done in {(time.perf_counter() - began) / 60:.0f} minutes")
    if runs >= KEPT:
        whole = kept(found, parts)
        (RESULTS / "bench.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "bench.svg").write_text(report.picture(whole), encoding="utf-8")
        say("written to benchmarks/results/, which both READMEs show after `make docs`")


if __name__ == "__main__":
    main()
