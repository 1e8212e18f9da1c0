"""What the layers of the image have in common: where packages lie, and fixed times and modes.

A layer has the same digest whenever and wherever it is built, if its files do: names, contents, modes, times.
"""

import os
import sys
from pathlib import Path

# 1980-01-01, the first day that a zip file, and so a wheel, can hold.
STAMP = 315532800
VENV = Path("/app/.venv")
SITE = VENV / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def make_environment() -> None:
    """Make an empty virtual environment at VENV: what `python -m venv` makes, without scripts to activate it."""
    programs, python = VENV / "bin", Path(sys.base_exec_prefix, "bin")
    SITE.mkdir(parents=True)
    programs.mkdir()
    settings = f"home = {python}\ninclude-system-site-packages = false\n"
    (VENV / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    (programs / "python").symlink_to(python / "python3")
    for name in ("python3", f"python{sys.version_info.major}.{sys.version_info.minor}"):
        (programs / name).symlink_to("python")


def settle(folder: Path) -> None:
    """Give all that is in `folder`, and itself, a fixed time and mode: 755 for folders and programs, else 644."""
    for root, _, names in os.walk(folder):
        for path in (root, *(os.path.join(root, name) for name in names)):  # noqa: PTH118 - twice as fast
            if not os.path.islink(path):  # noqa: PTH114
                mode = os.stat(path).st_mode  # noqa: PTH116
                os.chmod(path, 0o755 if path == root or mode & 0o100 else 0o644)  # noqa: PTH101
            os.utime(path, (STAMP, STAMP), follow_symlinks=False)
