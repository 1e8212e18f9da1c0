"""Build an image again from its own labels, and compare; in the project's folder, or anywhere for a public repository.

    python .../scripts/reproduce.py IMAGE

The labels say which commit of which repository the image was built from, on which base image, and the version and time
that it was given. The commit is taken from the repository around this folder, or else from that of the label, into a
clean folder; no build step comes from the cache. From the environment:

    BUILD_FLAGS    more options for `docker build`, separated by spaces: secrets, say
    PYPI_MIRROR, DEBIAN_MIRROR, MIRROR_FALLBACK, MIRROR_TIMEOUT    as in `make image`: files are the same everywhere
    DOCKER         the engine's program: docker (default) or podman

Exit status: 0 the images are identical: all layers, and what is set for the service. 1 they are not, and the first
difference is named. 2 it can't be told. What has no hash may differ by no fault of anybody: the Debian packages of
docker/apt-runtime.txt, of which the archive has newer versions by now.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

DOCKER = os.environ.get("DOCKER", "docker")
LABEL = "org.opencontainers.image."
# Build arguments that come from the environment, as in the Makefile.
PASSED_ON = ("PYPI_MIRROR", "DEBIAN_MIRROR", "MIRROR_FALLBACK", "MIRROR_TIMEOUT")
Files = dict[str, dict[str, object]]


def impossible(reason: str) -> NoReturn:
    """End with status 2 and the reason."""
    print(f"reproduce: {reason}", file=sys.stderr)
    sys.exit(2)


def run(*command: str, output: bool = True) -> str:
    """Return what `command` prints; end when it fails. Without `output`, its words go where ours go."""
    done = subprocess.run(command, stdout=subprocess.PIPE if output else None, text=True, check=False)
    if done.returncode:
        impossible(f"{shlex.join(command)} failed")
    return done.stdout or ""


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine tells of `image`."""
    found: list[dict[str, Any]] = json.loads(run(DOCKER, "image", "inspect", image))
    return found[0]


def build_arguments(labels: dict[str, str]) -> dict[str, str]:
    """Return the build arguments that make an image with these `labels`; end when one that is needed is missing."""
    given = {name.removeprefix(LABEL): value for name, value in labels.items() if name.startswith(LABEL)}
    if not re.fullmatch("[0-9a-f]{40,64}", given.get("revision", "")) or not given.get("base.name"):
        impossible(f"the image was not built by `make image` from a commit: {given.get('revision') or 'no revision'}")
    if not given.get("base.digest"):
        impossible(
            "the image does not say on which base image it was built: when it was, no registry answered, or the engine"
            " could not ask it, as Podman can't. Build it with Docker's buildx"
        )
    registry, _, tag = given["base.name"].rpartition("/python:")
    python, _, suite = tag.partition("-slim-")
    found = {"REGISTRY": registry, "PYTHON_VERSION": python, "DEBIAN_SUITE": suite, "BASE_DIGEST": given["base.digest"]}
    for name in ("source", "version", "revision", "created"):
        found[name.upper()] = given.get(name, "")
    if found["CREATED"]:
        found["SOURCE_DATE_EPOCH"] = str(int(datetime.fromisoformat(found["CREATED"]).timestamp()))
    return found


def check_out(revision: str, source: str, folder: Path) -> Path:
    """Make a clean folder of the commit `revision`; return where in it the project lies."""
    asked = ("git", "cat-file", "-e", f"{revision}^{{commit}}")
    is_here = subprocess.run(asked, capture_output=True, check=False).returncode == 0
    if not is_here and not source.startswith("https://"):
        impossible(f"the repository here has no commit {revision}, and the image names no other: {source or 'nothing'}")
    origin = run("git", "rev-parse", "--show-toplevel").strip() if is_here else source
    run("git", "clone", "--quiet", "--no-checkout", "--", origin, str(folder))
    run("git", "-C", str(folder), "checkout", "--quiet", "--detach", revision)
    return folder / run("git", "rev-parse", "--show-prefix").strip() if is_here else folder


def layers(image: str, folder: Path) -> list[Path]:
    """Write the layers of `image` into `folder`, the lowest first."""
    found = []
    run(DOCKER, "save", "--output", str(folder / "image.tar"), image)
    with tarfile.open(folder / "image.tar") as content:
        (manifest,) = json.load(content.extractfile("manifest.json") or impossible(f"{image} has no manifest"))
        for number, name in enumerate(manifest["Layers"]):
            found.append(folder / f"{number}.tar")
            with found[-1].open("wb") as file:
                shutil.copyfileobj(content.extractfile(name) or impossible(f"{image} has no {name}"), file)
    return found


def files(tars: list[Path]) -> Files:
    """Return what layers say of each path; what a later one says counts."""
    found: Files = {}
    for tar in tars:
        with tarfile.open(tar) as content:
            for entry in content:
                stream = content.extractfile(entry) if entry.isreg() else None
                found[f"/{entry.name.removeprefix('./').strip('/')}"] = {
                    "type": entry.type,
                    "mode": oct(entry.mode),
                    "owner": f"{entry.uid}:{entry.gid}",
                    "time": entry.mtime,
                    "target": entry.linkname,
                    "attributes": {name: value for name, value in entry.pax_headers.items() if "xattr" in name},
                    "content": hashlib.sha256(stream.read()).hexdigest() if stream else "",
                }
    return found


def difference(ours: Files, theirs: Files) -> str:
    """Return the first path that differs, and how; a folder only when no file does, nothing when all is the same."""
    for path in sorted(ours.keys() | theirs.keys(), key=lambda path: ({**ours, **theirs}[path]["type"] == b"5", path)):
        if path not in theirs or path not in ours:
            return f"{path}: {'not' if path in ours else 'only'} in the image"
        for name, built in ours[path].items():
            if (found := theirs[path][name]) != built:
                return f"{path}: {name} is {found} in the image, and {built} when built again"
    return ""


def compare(built: str, given: str) -> str:
    """Return the first difference between two images; nothing when they are identical."""
    ours, theirs = inspect(built), inspect(given)
    if ours["RootFS"]["Layers"] != theirs["RootFS"]["Layers"]:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            pairs = zip_longest(layers(ours["Id"], Path(one)), layers(theirs["Id"], Path(other)))
            for number, (a, b) in enumerate(pairs, 1):
                if said := difference(files([a] if a else []), files([b] if b else [])):
                    return f"layer {number}: {said}"
            return "the layers have the same files, and are packed otherwise"
    settings = [{name: value for name, value in image["Config"].items() if value} for image in (ours, theirs)]
    for name in sorted((settings[0].keys() | settings[1].keys()) - {"Image", "Hostname"}):
        if settings[0].get(name) != settings[1].get(name):
            return f"{name} is {settings[1].get(name)} in the image, and {settings[0].get(name)} when built again"
    return ""


def main(image: str) -> int:
    """Build `image` again and compare; return the exit status."""
    if not shutil.which(DOCKER):
        impossible(f"there is no {DOCKER} on the PATH; DOCKER names the engine's program: docker or podman")
    if subprocess.run([DOCKER, "image", "inspect", image], capture_output=True, check=False).returncode:
        run(DOCKER, "pull", image, output=False)
    given = inspect(image)
    arguments = build_arguments(given["Config"].get("Labels") or {})
    again = f"reproduced:{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as folder:
        project = check_out(arguments["REVISION"], arguments["SOURCE"], Path(folder, "repository"))
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options += [f"--build-arg={name}" for name in PASSED_ON]
        flags = shlex.split(os.environ.get("BUILD_FLAGS", ""))
        flags.append(f"--platform={given['Os']}/{given['Architecture']}")
        run(DOCKER, "build", "--no-cache", *flags, "--tag", again, *options, str(project), output=False)
    try:
        found = compare(again, image)
        count = len(inspect(again)["RootFS"]["Layers"])
    finally:
        run(DOCKER, "image", "rm", again)
    where = f"{image}, from commit {arguments['REVISION']} on {arguments['BASE_DIGEST']}"
    print(f"DIFFERENT: {where}\n{found}" if found else f"identical: {where}: {count} layers, and all that is set")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        impossible("name one image: reproduce.py registry.example.com/team/name:1.2.0")
    sys.exit(main(sys.argv[1]))
