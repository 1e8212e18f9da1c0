"""Print the digest of an image in its registry: `make image` builds on exactly this base image.

    python tools/digest.py NAME

Prints nothing if the registry does not answer within 10 s, for example behind a firewall: the engine then uses the
image that it has. DOCKER in the environment names the engine's program.
"""

import json
import os
import subprocess
import sys

SECONDS = 10


def digest(name: str) -> str:
    """Return the digest of the image `name` in its registry, or ""."""
    docker = os.environ.get("DOCKER") or "docker"
    # Asked for the digest alone, buildx prints a whole table if the image is for one platform only.
    command = [docker, "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603
        return str(json.loads(done.stdout)["digest"]) if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(digest(sys.argv[1]))
