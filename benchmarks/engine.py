"""What a benchmark does with a Docker engine: build, start, clean up. (To weigh an image: tests/lab/engine.py.)"""

from __future__ import annotations

import datetime
import http.client
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from tests.lab.engine import containerd_host, docker, network

HERE = Path(__file__).resolve().parent
PYTHON, SUITE = "3.14", "forky"
START = 60  # seconds for a service to answer


class Recipe(NamedTuple):
    """A way to build the service: its title, its Dockerfile (None: the project's own), the Python in its image."""

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


class Build(NamedTuple):
    """What one build took: seconds, and bytes that the mirror served."""

    seconds: float
    fetched: int


class Start(NamedTuple):
    """A start of the service: seconds until the first answer, bytes of memory a second later."""

    answer: float
    memory: int


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """End with status 1."""
    say(text)
    raise SystemExit(1)


def tools(project: Path) -> None:
    """Build the images that locking and uv's recipe need, with the versions that `project` pins."""
    for target in ("tools", "uv"):
        docker(
            *("build", *network(), "--build-arg", f"DEBIAN_SUITE={SUITE}", "--target", target),
            *("--tag", f"benchmark-{target}", "--file", str(HERE / "tools.Dockerfile"), str(project)),
        )


def command(name: str, project: Path) -> list[str]:
    """Return the command of docker that builds `project` with the recipe `name`, up to a tag and the project itself.

    Every recipe has cache mounts of its own.
    """
    arguments = (f"DEBIAN_SUITE={SUITE}", f"BUILDKIT_CACHE_MOUNT_NS={name}")
    found = ["build", *network(), *(f"--build-arg={argument}" for argument in arguments)]
    if dockerfile := RECIPES[name].dockerfile:
        copy = project.parent / dockerfile.name
        shutil.copy(dockerfile, copy)
        # Instead of the project's own: the rivals may see everything, there is nothing that they should leave out.
        copy.with_name(f"{copy.name}.dockerignore").touch()
        found += ["--file", str(copy)]
    return found


def build(name: str, scenario: str, project: Path, *options: str) -> Build:
    """Build `project` with the recipe `name` into the image bench-<name>:<scenario>.

    A cold build takes no cached layer and begins with empty cache mounts (`--no-cache` means both to BuildKit). It is
    done again, twice at most, when the mirror had to ask upstream for a file.
    """
    if scenario == "cold":
        options = ("--no-cache", *options)
    arguments = [*command(name, project), "--tag", f"bench-{name}:{scenario}", *options, str(project)]
    log = Path(os.environ["LAB_MIRROR_LOG"])
    for _ in range(3):
        os.sync()
        size = log.stat().st_size
        begin = time.perf_counter()
        docker(*arguments)
        seconds = time.perf_counter() - begin
        # time, status, bytes, path, state of the mirror's cache, ...
        requests = [line.split() for line in log.read_bytes()[size:].decode().splitlines()]
        if scenario != "cold" or all(fields[4] == "HIT" for fields in requests):
            break
        say("the mirror had to ask upstream: once more")
    return Build(seconds, sum(int(fields[2]) for fields in requests))


def empty_caches() -> None:
    """Remove everything that a build could take from an earlier one."""
    docker("builder", "prune", "--all", "--force")


def sandbox(image: str, *options: str) -> list[str]:
    """Return the arguments that run `image` as a hardened cluster would: read-only root, a number as its user."""
    return ["run", *options, "--network", "host", "--read-only", "--tmpfs", "/tmp", "--user", "10001:10001", image]


def import_seconds(image: str, python: str, package: str) -> float:
    """Return how many seconds the import of the service takes in a fresh container."""
    code = f"import time; t = time.perf_counter(); import {package}.app; print(time.perf_counter() - t)"
    return float(docker(*sandbox(image, "--rm", "--entrypoint", python), "-c", code))


def start(image: str) -> Start:
    """Start the service in a container and wait for GET /healthz to answer 200; ends with status 1 if it never does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    container = docker(*sandbox(image, "--detach", "--env", f"PORT={port}")).strip()
    try:
        text = docker("inspect", "--format", "{{.State.StartedAt}}", container).strip()
        began = datetime.datetime.fromisoformat(text).timestamp()
        while not healthy(port):
            if time.time() - began > START:
                fail(f"{image} does not answer within {START} s\n{docker('logs', container)}")
            time.sleep(0.005)
        answer = time.time() - began
        time.sleep(1)
        processes = docker("top", container, "-o", "pid").split()[1:]
        return Start(answer, sum(map(memory, processes)))
    finally:
        docker("rm", "--force", container)


def healthy(port: int) -> bool:
    """Return whether the service on `port` answers GET /healthz with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def push(image: str, registry: str) -> int:
    """Push an image; return the bytes that the registry has more than before."""
    name = f"{registry}/{image}"
    before = stored()
    docker("tag", image, name)
    try:
        docker("push", "--quiet", name)
    finally:
        docker("image", "rm", name)
    return stored() - before


def compressed(image: str) -> int:
    """Return the bytes of an image's layers as the lab's registry has them; the image has one platform."""
    host, _, name = image.partition("/")
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    connection = http.client.HTTPConnection(host, timeout=START)
    connection.request("GET", f"/v2/{name}/manifests/latest", headers={"Accept": kinds})
    return sum(layer["size"] for layer in json.loads(connection.getresponse().read())["layers"])


def stored() -> int:
    """Return the bytes that the lab's registry holds."""
    folder = Path(os.environ["SERVICE_LAB"], "registry")
    return sum(path.stat().st_size for path in folder.rglob("data"))


def memory(process: str) -> int:
    """Return the memory of a process in bytes; pages that it shares with others count in proportion (PSS)."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@contextmanager
def containerd_store() -> Iterator[None]:
    """Use the lab's engine with the containerd image store, which can export a build cache; empty it afterwards."""
    kept = os.environ["DOCKER_HOST"]
    os.environ["DOCKER_HOST"] = containerd_host()
    try:
        yield
        clean_up()
    finally:
        os.environ["DOCKER_HOST"] = kept


def forget_images(name: str) -> None:
    """Remove the images bench-<name>, with all their scenarios, those for a registry too; `*` stands for every name."""
    remove(f"bench-{name}", f"*/bench-{name}")


def remove(*patterns: str) -> None:
    """Remove the images whose names, without their tags, fit one of `patterns`."""
    if images := docker("images", "--quiet", *(f"--filter=reference={pattern}" for pattern in patterns)).split():
        docker("image", "rm", "--force", *dict.fromkeys(images))


def clean_up() -> None:
    """Remove from the engine what a benchmark made there."""
    forget_images("*")
    remove("benchmark-*")  # of tools()
    docker("image", "prune", "--force")  # what a later build took the name from
    docker("volume", "rm", "--force", "bench-locks")
    empty_caches()
