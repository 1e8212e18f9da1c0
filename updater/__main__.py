"""Run this version's updater: `python CLONE/updater`, in a project's folder; `make update` calls it.

It takes the options of update.py. What the updater needs is installed into .tools/updater, as this version's
requirements/new.txt has it; INDEX in the environment is the command that pip is run by, which names the package index.
Exit status as that of update.py; 2, with the reason, if the updater can't be installed or is broken.
"""

import os
import shlex
import subprocess
import sys
import traceback
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
PINS = CLONE / "requirements/new.txt"
ENVIRONMENT = Path(".tools/updater")
PIP = "install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes --requirement"


def install() -> None:
    """Make the environment, unless it is there with these very pins. Raises CalledProcessError, OSError."""
    installed = ENVIRONMENT / "requirements.txt"
    if (ENVIRONMENT / "bin/python").exists() and installed.exists() and installed.read_bytes() == PINS.read_bytes():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    index = shlex.split(os.environ.get("INDEX", ""))
    subprocess.run([*index, str(ENVIRONMENT / "bin/pip"), *PIP.split(), PINS], check=True)
    installed.write_bytes(PINS.read_bytes())


def stop(why: str) -> int:
    """Say that no update is possible; return the exit status."""
    print(f"update: exit status 2: nothing was touched: {why}", file=sys.stderr)
    return 2


def main() -> int:
    """Install the updater and start this program again with it; then update the project. Return the exit status."""
    if Path(sys.prefix).resolve() != ENVIRONMENT.resolve():
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as error:
            return stop(f"the updater can't be installed: {error}")
        sys.stdout.flush()
        python = str(ENVIRONMENT.absolute() / "bin/python")
        os.execv(python, [python, str(CLONE / "updater"), *sys.argv[1:]])
    sys.path[0] = str(CLONE)
    try:
        from updater.update import main as update

        return update()
    except Exception as error:
        traceback.print_exc()
        return stop(f"this version's updater is broken ({type(error).__name__}: {error}); name another version in TO=")


if __name__ == "__main__":
    sys.exit(main())
