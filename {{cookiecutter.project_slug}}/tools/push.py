"""Push the image that passed its contract (`make push`): python tools/push.py CHECKED IMAGE.

CHECKED is the file with the id that passed; IMAGE is registry and repository. From the environment: TAGS, branches and
versions; PLATFORM, if several: IMAGE:linux-amd64 and so on become one index. The image is pushed under its revision,
which then gets the other tags. v1.2.3 or 1.2.3 is a release: it must be the image's version, from a clean work tree,
and names what was pushed for this revision before, if anything was. `latest` never goes back. The file .image-pushed
gets IMAGE@digest. Exit status 1, with the reason, when a step fails.
"""

import json
import os
import re
import sys
from hashlib import sha256
from pathlib import Path

from engine import ABSENT, PODMAN, engine, label, need

PARTS = given.replace("/", "-").split(",") if "," in (given := os.environ.get("PLATFORM", "")) else [""]
PLACE = re.compile(r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(?=:))(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
VERSION = re.compile(r"v?\d+(\.\d+)+((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?")


def checked_image(local: str, checked: Path) -> tuple[str, str, str]:
    """Return id, revision and version of the image `local`; end if it is not the one that passed its contract."""
    (found,) = json.loads(engine("image", "inspect", local, unless=ABSENT) or "[{}]")
    passed = checked.read_text(encoding="utf-8").strip() if checked.exists() else "no image"
    right = found and (found["Id"] == passed or os.environ.get("UNCHECKED") == "1")
    need(right, f"{local} is {found.get('Id', 'not here')}, {passed} passed its contract: run 'make image check-image'")
    return found["Id"], label(found["Config"], "revision"), label(found["Config"], "version")


def remote(name: str, unless: str = ABSENT) -> tuple[str, str]:
    """Return digest and version of an image in its registry; twice "" if the error has a word of `unless`."""
    if PODMAN:
        pulled = engine("pull", "--quiet", name, unless=unless).strip()
        (found,) = json.loads(engine("image", "inspect", pulled)) if pulled else [{}]
        own = [one for one in found.get("RepoDigests", ()) if one.startswith(f"{name.rpartition(':')[0]}@")]
        digests = [one.split("@")[1] for one in own if engine("pull", "--quiet", one, unless=ABSENT)]
        return [*digests, ""][0], label(found.get("Config", {}), "version")
    found = json.loads(engine("buildx", "imagetools", "inspect", "--format", "{{json .}}", name, unless=unless) or "{}")
    images = found.get("image", {})  # one, or a table of several platforms
    config = (images if "config" in images else next(iter(images.values()), {})).get("config", {})
    return found.get("manifest", {}).get("digest", ""), label(config, "version")


def push(name: str, *sources: str) -> str:
    """Push an image by its id as `name`, or name what is pushed, several as an index; return its digest."""
    print(f"pushing {name}", flush=True)
    if PODMAN or "@" not in sources[0]:
        image = engine("pull", "--quiet", *sources).strip() if "@" in sources[0] else sources[0]
        if not PODMAN:
            engine("tag", image, name)
        said = engine("push", *(["--digestfile", "/dev/stdout", image] if PODMAN else []), name)
        return str(re.findall("sha256:[0-9a-f]{64}", said)[0])
    engine("buildx", "imagetools", "create", "--prefer-index=false", "--tag", name, *sources)
    return remote(name)[0]


def tag(name: str) -> str:
    """Return the tag for a branch; a checksum keeps names in other alphabets apart, and off `latest`."""
    found = re.sub(r"[^A-Za-z0-9_.-]", "-", name).strip(".-")[:119]
    plain = name.isascii() and found not in ("", "latest")
    return found if plain else f"{found or 'branch'}-{sha256(name.encode()).hexdigest()[:8]}"


def main(checked: Path, place: str) -> None:
    """Push the image named `place`, or the images of several platforms, under all tags."""
    need(PLACE.fullmatch(place), f"{place} is no place to push to; wanted: registry.example.com/team/service, no tag")
    need(not PODMAN or len(PARTS) == 1, "images of several platforms are joined by buildx: DOCKER=docker")
    found = [checked_image(f"{place}:{part}".rstrip(":"), Path(f"{checked}-{part}".rstrip("-"))) for part in PARTS]
    need(len({image[1:] for image in found}) == 1, "the images are not of one revision: build and check in one go")
    identifier, revision, version = found[0]
    names = os.environ.get("TAGS", "").split()
    releases = [name for name in names if VERSION.fullmatch(name) or name.removeprefix("v") == version]
    for name in releases:
        need(name.removeprefix("v") == version, f"{name} names a version, the image has {version or 'no version'}")
        need(re.fullmatch("[0-9a-f]{40,64}", revision), f"{name}: {revision or 'no commit'} is no commit to release")
    wanted = (revision, *(version if name in releases else tag(name) for name in names))
    tags = [each for each in dict.fromkeys(wanted) if each]
    need(tags, "no tag to push under: the image has no revision, and no branch is checked out. Name one: TAGS=...")
    first = f"{place}:{tags[0]}"
    if not releases or not (digest := remote(first, f"{ABSENT}|denied|authorization")[0]):
        parts = [push(f"{first}-{part}".rstrip("-"), image) for part, (image, *_) in zip(PARTS, found, strict=True)]
        digest = parts[0] if len(parts) == 1 else push(first, *(f"{place}@{part}" for part in parts))
    if releases and not re.search("a|b|rc|dev", version):
        numbers = [re.findall(r"\d+", text) for text in (version, remote(f"{place}:latest")[1])]
        engine("tag", identifier, place)  # Podman's pull has moved this name
        tags += ["latest"] if list(map(int, numbers[0])) >= list(map(int, numbers[1])) else []
    for name in tags[1:]:
        other = push(f"{place}:{name}", f"{place}@{digest}")
        need(other == digest, f"{place}:{name} got the digest {other}, and {first} has {digest}")
    checked.with_name(".image-pushed").write_text(f"{place}@{digest}\n", encoding="utf-8")
    print(f"{place}@{digest} is pushed as {', '.join(tags)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
