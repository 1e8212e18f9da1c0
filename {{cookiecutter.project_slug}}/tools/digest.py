"""Print the digest that an image has in its registry: `make image` builds on this very image.

    python tools/digest.py NAME

Prints nothing when the registry does not tell within 10 s, behind a firewall for instance: then the engine takes the
image that it has. The environment's DOCKER names the program to ask with.
"""

import os
import subprocess
import sys

SECONDS = 10


def digest(name: str) -> str:
    """Return the digest of the image `name` in its registry, or ""."""
    docker = os.environ.get("DOCKER") or "docker"
    command = [docker, "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    print(digest(sys.argv[1]))
