"""The program `kind-of`: the kind of what comes on stdin."""

import sys

from .kinds import kind_of


def main() -> int:
    """Print the kind; return 1 when it is unknown."""
    kind = kind_of(sys.stdin.buffer.read(4096))
    print(kind)
    return int(kind == "unknown")
