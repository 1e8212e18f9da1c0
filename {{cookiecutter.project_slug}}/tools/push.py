"""Push the image that passed its contract to its registry: `make push IMAGE=registry.example.com/team/service`.

    python tools/push.py CHECKED IMAGE

CHECKED is the file in which `make check-image` recorded the id of the image that passed. IMAGE is the name under which
the image was built and checked: registry and repository, without a tag. From the environment:

    TAGS        names of branches and version tags, separated by spaces (default: the current branch)
    PLATFORM    several platforms, such as linux/amd64,linux/arm64: IMAGE:linux-amd64 and so on become one index
    UNCHECKED   1: push even if the image was not checked
    ATTACH      0: attach nothing, for a registry that accepts only images
    DOCKER      the engine's program: docker (default) or podman

The image is pushed by its id: first under its revision (from its label), then under each name in TAGS; characters that
a tag can't have become hyphens. v1.2.3 or 1.2.3 in TAGS is a release: it must be the version in the image's label, and
becomes the tag 1.2.3 and, last of all, `latest`, unless it is a pre-release. With several platforms, each image is
pushed under the first tag plus its platform, and an index of them under each tag. All tags have the same digest, which
is printed. After the first tag, the provenance, and sbom.cdx.json if it describes this image, are attached to the
digest (attach.py); those of each platform (sbom-linux-amd64.cdx.json) to its own. Exit status 1, with the reason and
the tags pushed so far, when a step fails.
"""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import NamedTuple, NoReturn

from attach import LABEL, PROVENANCE, SBOM, AttachError, Repository, provenance

DOCKER = os.environ.get("DOCKER", "docker")
# Docker prints the digest of what it pushes anyway.
TELL_DIGEST = ["--digestfile", "/dev/stdout"] if Path(DOCKER).name.startswith("podman") else []
PLATFORM = os.environ.get("PLATFORM", "")
# The suffixes of the images for several platforms; one empty suffix for a single image.
PARTS = PLATFORM.replace("/", "-").split(",") if "," in PLATFORM else [""]
REPOSITORY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
NAMES_A_VERSION = re.compile(r"v\d\S*|\d+(\.\d+)+\S*")
# PEP 440's final releases and post-releases.
FINAL = re.compile(r"\d+(\.\d+)*(\.post\d+)?")


class Image(NamedTuple):
    """An image in the engine."""

    id: str
    labels: dict[str, str]

    @property
    def revision(self) -> str:
        """The commit that it was built from, if known."""
        return self.labels.get(f"{LABEL}revision", "")

    @property
    def version(self) -> str:
        """The version of the project, if known."""
        return self.labels.get(f"{LABEL}version", "")


def fail(reason: str) -> NoReturn:
    """End with status 1 and the reason."""
    sys.exit(f"push: {reason}")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run `command`; the caller looks at its exit status."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - commands of this file
    except FileNotFoundError:
        fail(f"there is no program {command[0]}")


def options(name: str) -> str:
    """Return the options of `make` for the image `name`, for advice in messages."""
    return f"IMAGE={name} PLATFORM={PLATFORM}" if PARTS != [""] else f"IMAGE={name}"


def find(local: str, name: str) -> Image:
    """Return the image named `local`; advice in messages is about `name`."""
    done = run(DOCKER, "image", "inspect", local)
    if done.returncode:
        fail(
            f"no image {local} here: {done.stderr.strip()}\n"
            f"Build and check it first: make image check-image {options(name)}"
        )
    (found,) = json.loads(done.stdout)
    return Image(found["Id"], found["Config"].get("Labels") or {})


def refuse_unchecked(image: Image, local: str, name: str, checked: Path) -> None:
    """End if `checked`, the file of `make check-image`, does not name `image`."""
    held = checked.read_text(encoding="utf-8").strip() if checked.exists() else ""
    if held == image.id:
        return
    state = f"the image that was checked is {held}, and {local} is {image.id} now" if held else "it was not checked"
    fail(
        f"{local} is not pushed: {state}.\n"
        f"Run make check-image {options(name)} and fix what does not hold; UNCHECKED=1 pushes it all the same."
    )


def names() -> list[str]:
    """Return the names in TAGS, or the current branch."""
    if "TAGS" in os.environ:
        return os.environ["TAGS"].split()
    return run("git", "branch", "--show-current").stdout.split()


def tags(image: Image, wanted: list[str]) -> list[str]:
    """Return the tags of `image` for the names `wanted`, in the order of pushing: `latest`, if any, comes last."""
    found = [image.revision] if image.revision else []
    latest = False
    for name in wanted:
        if name == "latest":
            fail("latest is pushed with a release alone: TAGS=v1.2.3, the version in pyproject.toml")
        if NAMES_A_VERSION.fullmatch(name):
            if name.removeprefix("v") != image.version:
                fail(
                    f"{name} names a version, and the image is version {image.version or '(no label)'}.\n"
                    f'Tag the commit in which pyproject.toml says version = "{name.removeprefix("v")}".'
                )
            name = image.version
            latest = latest or bool(FINAL.fullmatch(name))
        found.append(re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".-")[:128])
    if not found:
        fail("no tag to push under: the image has no revision, and no branch is checked out. Name one: TAGS=...")
    if latest:
        found.append("latest")
    return list(dict.fromkeys(found))


def push_by(name: str, *steps: list[str]) -> str:
    """Push `name`, a repository with a tag, by commands of the engine; return the digest in the last one's output."""
    print(f"pushing {name}", flush=True)
    for step in steps:
        done = run(DOCKER, *step)
        if done.returncode:
            break
    if done.returncode == 0 and (found := re.search(r"sha256:[0-9a-f]{64}", done.stdout)):
        return found[0]
    registry = name.split("/")[0]
    advice = ""
    if re.search("denied|unauthorized|authenti|no basic auth", done.stderr, re.IGNORECASE):
        advice = f"\nLog in with an account that may push there: {DOCKER} login {registry}"
    fail(f"{name} could not be pushed: {done.stderr.strip() or 'no digest was printed'}{advice}")


def push(image: Image, name: str) -> str:
    """Push `image` as `name`; return its digest."""
    return push_by(name, ["tag", image.id, name], ["push", *TELL_DIGEST, name])


def join(name: str, digests: list[str]) -> str:
    """Push an index `name` of the images with `digests` in its repository; return its digest."""
    parts = [f"{name.rpartition(':')[0]}@{digest}" for digest in digests]
    if TELL_DIGEST:
        created = f"push-{uuid.uuid4().hex}"
        create = ["manifest", "create", created, *(f"docker://{part}" for part in parts)]
        return push_by(name, create, ["manifest", "push", "--rm", *TELL_DIGEST, created, f"docker://{name}"])
    tools = ["buildx", "imagetools"]
    tell = ["inspect", "--format", "{{print .Manifest.Digest}}"]
    return push_by(name, [*tools, "create", "--tag", name, *parts], [*tools, *tell, name])


def attach(image: Image, name: str, digest: str, sbom: Path) -> None:
    """Attach the provenance, and the file `sbom` if it is of this image, to the pushed image."""
    registry, _, repository = name.partition("/")
    wanted = {PROVENANCE: provenance(name, digest, image.labels)}
    metadata = json.loads(sbom.read_text(encoding="utf-8"))["metadata"] if sbom.exists() else {}
    if {"name": "image", "value": image.id} in metadata.get("properties", []):
        wanted[SBOM] = sbom.read_bytes()
    else:
        print(f"no SBOM is attached, since {sbom} is not one of this image: make sbom {options(name)}")
    for kind, content in wanted.items():
        try:
            print(f"attached {kind} as {Repository(registry, repository).attach(digest, kind, content)}", flush=True)
        except AttachError as error:
            fail(f"{kind} could not be attached to {name}@{digest}: {error}\nATTACH=0 pushes without.")


def main(checked: Path, name: str) -> None:
    """Push the image `name`, or the images of several platforms, under all tags."""
    if not REPOSITORY.fullmatch(name):
        fail(
            f"{name} is no place to push to; wanted: a registry and a repository, in lower case, without a tag.\n"
            "Build, check and push under one name: make image check-image push IMAGE=registry.example.com/team/service"
        )
    images: dict[str, Image] = {}
    for part in PARTS:
        local = f"{name}:{part}" if part else name
        images[part] = image = find(local, name)
        if os.environ.get("UNCHECKED") != "1":
            refuse_unchecked(image, local, name, checked.with_name(f"{checked.name}-{part}") if part else checked)
    if len({(image.revision, image.version) for image in images.values()}) > 1:
        fail(f"the images for {PLATFORM} are not of one revision. Build and check them again, in one go")
    wanted = tags(image, names())
    pushed: dict[str, str] = {}
    try:
        digests = [push(image, f"{name}:{wanted[0]}-{part}") for part, image in images.items() if part]
        for tag in wanted:
            pushed[tag] = join(f"{name}:{tag}", digests) if digests else push(image, f"{name}:{tag}")
            if len(set(pushed.values())) > 1:
                fail(f"the tags got different digests: {pushed}")
            if len(pushed) == 1 and os.environ.get("ATTACH") != "0":
                for (part, image), digest in zip(images.items(), digests or [pushed[tag]], strict=True):
                    attach(image, name, digest, Path(f"sbom-{part}.cdx.json" if part else "sbom.cdx.json"))
    finally:
        if pushed:
            print(f"{name}@{next(iter(pushed.values()))} is pushed as {', '.join(pushed)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
