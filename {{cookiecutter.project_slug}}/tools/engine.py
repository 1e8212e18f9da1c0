"""The container engine: docker, or the program that DOCKER in the environment names."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCKER = os.environ.get("DOCKER") or "docker"
PODMAN = Path(DOCKER).name.startswith("podman")
ABSENT = "not found|manifest unknown|name unknown|[Nn]o such image|image not known"
DENIED = "denied|unauthorized|authenti|no basic auth"


def need(condition: object, reason: str) -> None:
    """End with status 1 and the reason unless the condition holds."""
    if not condition:
        sys.exit(f"{Path(sys.argv[0]).stem}: {reason}")


def engine(*words: str, unless: str = "$^") -> str:
    """Return what a command of the engine prints; "" if its error has a word of `unless`; else end when it fails."""
    try:
        done = subprocess.run([DOCKER, *words], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        sys.exit(f"{DOCKER} can't be run ({error}): install it, or name another program: DOCKER=podman")
    advice = f"\nLog in first: {DOCKER} login" if re.search(DENIED, done.stderr, re.IGNORECASE) else ""
    need(not done.returncode or re.search(unless, done.stderr), f"{' '.join(words)}: {done.stderr.strip()}{advice}")
    return "" if done.returncode else done.stdout


def label(config: dict[str, dict[str, str]], name: str) -> str:
    """Return a label in the configuration of an image, by the end of its name; "" if there is none."""
    return (config.get("Labels") or {}).get(f"org.opencontainers.image.{name}", "")
