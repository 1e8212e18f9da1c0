"""What the scripts that make a layer of the image have in common.

A layer has the same digest whenever and wherever it is built, if its files do: names, contents, modes, times. No file
is in two layers: Docker's classic store sometimes leaves out what the layer below already has, and sometimes not.
"""

import os
import sys
from pathlib import Path

# 1980-01-01, the first day that a zip file can hold. The Dockerfile's own commands use it as well.
STAMP = 315532800
# The virtual environment in the image: base.py makes it, packages.py adds the packages in layers of their own.
VENV = "/app/.venv"
SITE = f"{VENV}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def settle(folder: Path) -> None:
    """Give all that is in `folder`, and itself, a fixed time and mode: 755 for folders and programs, else 644."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (STAMP, STAMP), follow_symlinks=False)
