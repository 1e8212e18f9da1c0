"""Print the digest that an image has in its registry: `make image` builds on this very image.

    python tools/digest.py NAME

Prints nothing when the registry does not tell within 10 s, behind a firewall for instance: then the engine takes the
image that it has. The environment's DOCKER names the program to ask with.
"""

import json
import os
import subprocess
import sys

SECONDS = 10


def digest(name: str) -> str:
    """Return the digest of the image `name` in its registry, or ""."""
    docker = os.environ.get("DOCKER") or "docker"
    # Asked for the digest alone, buildx prints a page of text of an image for one platform.
    command = [docker, "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603
        return str(json.loads(done.stdout)["digest"]) if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return ""


if __name__ == "__main__":
    print(digest(sys.argv[1]))
