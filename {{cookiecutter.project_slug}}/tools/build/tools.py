"""Install what the other scripts import: Poetry's lock reader, and what installs a wheel.

    python -m build.tools PINS FOLDER

PINS is tools/pins/poetry.txt, which has these among the packages that `make install` uses. They are wheels for every
machine, so it is enough to unpack them: pip would compile itself first, which takes a second.

Exit status: 0 done, 1 a file can't be had, 2 a setting is wrong, 3 a wrong hash.
"""

import re
import sys
import tempfile
import zipfile
from pathlib import Path

from build import mirror
from build.files import File, fetch

NAMES = ("installer", "packaging", "poetry", "poetry-core", "tomlkit")


def pinned(pins: str) -> list[File]:
    """Return the wheels of NAMES: version and hashes are from `pins`, which does not tell the wheel's from others."""
    files = []
    for name in NAMES:
        (entry,) = re.findall(rf"^{name}==(\S+)(.*(?:\n .*)*)", pins, re.MULTILINE)
        version, hashes = entry[0], re.findall(r"--hash=(\S+)", entry[1])
        files.append(File(name, version, f"{name.replace('-', '_')}-{version}-py3-none-any.whl", ",".join(hashes)))
    return files


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    try:
        with tempfile.TemporaryDirectory() as cache:
            for path in fetch(pinned(Path(arguments[0]).read_text(encoding="utf-8")), Path(cache)):
                with zipfile.ZipFile(path) as wheel:
                    wheel.extractall(arguments[1])
    except mirror.SettingError as error:
        mirror.say(str(error))
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(sys.argv[1:])
