"""Build an image again from its own labels, and compare: `make reproduce IMAGE=registry.example.com/team/name:1.2.0`.

    python tools/reproduce.py IMAGE

The labels say which commit of which repository the image was built from, on which base image, and the version and time
that it was given. The commit is taken from the repository around this folder, or else from that of the label, into a
clean folder; no build step comes from the cache. From the environment:

    BUILD_FLAGS    more options for `docker build`, separated by spaces: secrets, say
    PYPI_MIRROR, DEBIAN_MIRROR, MIRROR_FALLBACK, MIRROR_TIMEOUT    as in `make image`: files are the same everywhere
    DOCKER         the engine's program: docker (default) or podman

Exit status: 0 the images are identical: all layers, and what is set for the service. 1 they are not, and the first file
that differs is named. 2 it can't be told. What has no hash may differ by no fault of anybody: the Debian packages of
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
from pathlib import Path
from typing import IO, Any, NoReturn

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
    done = subprocess.run(command, stdout=subprocess.PIPE if output else None, text=True, check=False)  # noqa: S603
    if done.returncode:
        impossible(f"{shlex.join(command)} failed")
    return done.stdout or ""


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine tells of `image`."""
    found: list[dict[str, Any]] = json.loads(run(DOCKER, "image", "inspect", image))
    return found[0]


def build_arguments(labels: dict[str, str]) -> dict[str, str]:
    """Return the build arguments that make an image with these `labels`; end when one that is needed is missing."""
    for name in ("revision", "base.name", "base.digest"):
        if not labels.get(LABEL + name):
            impossible(f"the image has no label {LABEL}{name}: it was not built by `make image` from a commit")
    if not re.fullmatch("[0-9a-f]{40,64}", labels[LABEL + "revision"]):
        impossible(f"the image was not built from a commit: its revision is {labels[LABEL + 'revision']}")
    registry, _, tag = labels[LABEL + "base.name"].rpartition("/python:")
    python, _, suite = tag.partition("-slim-")
    found = {"REGISTRY": registry, "PYTHON_VERSION": python, "DEBIAN_SUITE": suite}
    found["BASE_DIGEST"] = labels[LABEL + "base.digest"]
    for name in ("source", "version", "revision", "created"):
        found[name.upper()] = labels.get(LABEL + name, "")
    return found


def check_out(revision: str, source: str, folder: Path) -> Path:
    """Make a clean folder of the commit `revision`; return where in it the project lies."""

    def git(*words: str) -> str:
        return run("git", *words).strip()

    asked = ("git", "cat-file", "-e", f"{revision}^{{commit}}")
    is_here = subprocess.run(asked, capture_output=True, check=False).returncode == 0  # noqa: S603
    if not is_here and not source.startswith("https://"):
        impossible(f"the repository here has no commit {revision}, and the image names no other: {source or 'nothing'}")
    origin = git("rev-parse", "--show-toplevel") if is_here else source
    git("clone", "--quiet", "--no-checkout", "--", origin, str(folder))
    git("-C", str(folder), "checkout", "--quiet", "--detach", revision)
    return folder / git("rev-parse", "--show-prefix") if is_here else folder


def layers(image: str, folder: Path) -> list[Path]:
    """Write the layers of `image` into `folder`, the lowest first."""
    archive = folder / "image.tar"
    run(DOCKER, "save", "--output", str(archive), image)
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    archive.unlink()
    return [folder / name for name in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))[0]["Layers"]]


def remove(found: Files, path: str) -> None:
    """Take `path`, and what is below it, out of what was found."""
    for name in [name for name in found if name == path or name.startswith(f"{path}/")]:
        del found[name]


def digest(stream: IO[bytes]) -> str:
    """Return a hash of what is in `stream`."""
    found = hashlib.sha256()
    while part := stream.read(1 << 20):
        found.update(part)
    return found.hexdigest()


def files(tars: list[Path]) -> Files:
    """Return all that layers, laid one upon the other, say of each path."""
    found: Files = {}
    for tar in tars:
        with tarfile.open(tar) as content:
            for entry in content:
                path = f"/{entry.name.removeprefix('./').strip('/')}"
                folder, _, name = path.rpartition("/")
                # How a layer says that something below it is gone.
                if name.startswith(".wh."):
                    remove(found, f"{folder}/{name.removeprefix('.wh.')}" if name != ".wh..wh..opq" else folder)
                    continue
                facts: dict[str, object] = {
                    "type": entry.type,
                    "mode": oct(entry.mode),
                    "owner": f"{entry.uid}:{entry.gid}",
                    "time": entry.mtime,
                    "target": entry.linkname,
                    "attributes": {name: value for name, value in entry.pax_headers.items() if "xattr" in name},
                }
                if entry.isreg() and (stream := content.extractfile(entry)):
                    facts["content"] = digest(stream)
                found[path] = facts
    return found


def difference(ours: Files, theirs: Files) -> str:
    """Return the first file that differs, and how; a folder only when no file does, nothing when all is the same."""

    def folders_last(path: str) -> tuple[bool, str]:
        types = {found[path]["type"] for found in (ours, theirs) if path in found}
        return types == {tarfile.DIRTYPE}, path

    for path in sorted(ours.keys() | theirs.keys(), key=folders_last):
        if path not in theirs:
            return f"{path}: not in the image"
        if path not in ours:
            return f"{path}: only in the image"
        for name, built in ours[path].items():
            if (found := theirs[path].get(name)) != built:
                return f"{path}: {name} is {found} in the image, and {built} when built again"
    return ""


def different_layers(ours: list[Path], theirs: list[Path]) -> str:
    """Return how images differ whose layers do: the first file, or else what a layer has that others hide."""
    if found := difference(files(ours), files(theirs)):
        return found
    for number, (built, given) in enumerate(zip(ours, theirs, strict=False), 1):
        if found := difference(files([built]), files([given])):
            return f"the same files, but layer {number} has others below them: {found}"
    return "the same files, packed into layers otherwise"


def settings(image: dict[str, Any]) -> dict[str, Any]:
    """Return what an image sets for the service: all of its configuration that is not empty."""
    return {name: value for name, value in image["Config"].items() if value and name not in ("Image", "Hostname")}


def compare(built: str, given: str) -> str:
    """Return the first difference between two images; nothing when they are identical."""
    ours, theirs = inspect(built), inspect(given)
    if ours["RootFS"]["Layers"] != theirs["RootFS"]["Layers"]:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            return different_layers(layers(ours["Id"], Path(one)), layers(theirs["Id"], Path(other)))
    one_set, other_set = settings(ours), settings(theirs)
    for name in sorted(one_set.keys() | other_set.keys()):
        if one_set.get(name) != other_set.get(name):
            return f"{name} is {other_set.get(name)} in the image, and {one_set.get(name)} when built again"
    return ""


def main(image: str) -> int:
    """Build `image` again and compare; return the exit status."""
    if not shutil.which(DOCKER):
        impossible(f"there is no {DOCKER} on the PATH; DOCKER names the engine's program: docker or podman")
    if subprocess.run([DOCKER, "image", "inspect", image], capture_output=True, check=False).returncode:  # noqa: S603
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
        impossible("name one image: make reproduce IMAGE=registry.example.com/team/name:1.2.0")
    sys.exit(main(sys.argv[1]))
