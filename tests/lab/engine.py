"""The lab's engine, for tests and benchmarks: run docker, weigh an image."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, NamedTuple, cast

LAB = Path(__file__).with_name("lab")
GIVE_UP = 900  # seconds for one command


class CommandError(Exception):
    """A command failed; the text says which, and how."""


class Layer(NamedTuple):
    """A layer of an image: digest of its content, bytes of its files (`docker history`), bytes packed with gzip."""

    digest: str
    unpacked: int
    packed: int


def run(*command: str, stdin: str | None = None) -> str:
    """Return what a command prints. Raises CommandError with its last lines when it fails or takes too long."""
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
        raise CommandError(f"gave up after {GIVE_UP} s: {' '.join(command)}") from None
    if done.returncode:
        raise CommandError("\n".join([f"failed: {' '.join(command)}", *done.stdout.splitlines()[-30:]]))
    return done.stdout


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Return what a docker command prints."""
    return run("docker", *arguments, stdin=stdin)


def network() -> list[str]:
    """Return the options that bring a build or a container to the lab's mirror."""
    return ["--network", "host", "--add-host", f"mirror.kakao.com:{os.environ['LAB_MIRROR_IP']}"]


def digests(image: str) -> list[str]:
    """Return the digests of the layers of an image in the engine, of their content, the lowest first."""
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return [digest.removeprefix("sha256:") for digest in found]


def layers(image: str, *, beside: str = "") -> list[Layer]:
    """Return the layers of an image in the engine, the lowest first; only those that the image `beside` has not."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        docker("save", "--output", file.name, image)
        return layers_in(Path(file.name), digests(beside) if beside else ())


def layers_in(archive: Path, known: Collection[str] = ()) -> list[Layer]:
    """Return the layers of an image in an archive, as `docker save` and `--output type=docker` write it.

    Those with a digest in `known` are left out.
    """
    with tarfile.open(archive) as files:

        def member(name: str) -> IO[bytes]:
            return cast(IO[bytes], files.extractfile(name))

        manifest = json.load(member("manifest.json"))[0]
        contents = json.load(member(manifest["Config"]))["rootfs"]["diff_ids"]
        return [
            weigh(member(name))
            for name, digest in zip(manifest["Layers"], contents, strict=True)
            if digest.removeprefix("sha256:") not in known
        ]


def weigh(blob: IO[bytes]) -> Layer:
    """Return the layer in a blob, which holds it either as it is or packed with gzip."""
    is_packed = blob.read(2) == b"\x1f\x8b"
    size = blob.seek(0, os.SEEK_END)
    blob.seek(0)
    digest, coder, packed = hashlib.sha256(), zlib.compressobj(wbits=31), 0
    with gzip.GzipFile(fileobj=blob) if is_packed else blob as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
            packed += 0 if is_packed else len(coder.compress(chunk))
        content.seek(0)
        with tarfile.open(fileobj=content) as files:
            unpacked = sum(file.size for file in files)
    return Layer(digest.hexdigest(), unpacked, size if is_packed else packed + len(coder.flush()))


def containerd_host() -> str:
    """Start the lab's engine with the containerd image store; return the DOCKER_HOST that leads to it."""
    return run(str(LAB), "containerd").partition("DOCKER_HOST=")[2].split()[0]
