"""Install locked packages into one layer of the image.

    python -m build.packages wheels LIST LAYER CACHE     fetch the wheels in LIST and install them
    python -m build.packages archives LIST FOLDER CACHE  fetch the source archives in LIST into FOLDER
    python -m build.packages built FOLDER LAYER          install the wheels that were built of them

LIST is one of lock.py's. LAYER is a folder that is copied to the root of the image, where base.py has made a virtual
environment, /app/.venv; it gets what these packages add to that. Files, modes and times are the same whenever and
wherever this runs.

The files come from the mirror, or from upstream when it fails (mirror.py), and are kept in the folder CACHE (files.py).

The tests of packages stay out: folders named tests, wherever they are, 24 MB with numpy and pandas. The file
with-tests.txt in the working folder, if there is one, names those that need theirs, one a line.

Exit status: 0 done, 1 a file can't be had or installed, 2 a setting is wrong, 3 a wrong hash.
"""

import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InstallerError
from installer.sources import WheelContentElement, WheelFile
from packaging.utils import canonicalize_name

from build import mirror
from build.files import fetch, listed
from build.layer import SITE, VENV, settle

WITH_TESTS = Path("with-tests.txt")


class Wheel(WheelFile):
    """A wheel without its tests, unless it needs them."""

    with_tests = False

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Yield what is to be installed."""
        for record, stream, is_executable in super().get_contents():
            if self.with_tests or "tests" not in record[0].split("/")[:-1]:
                yield record, stream, is_executable


def install_wheel(path: Path, layer: Path, *, with_tests: bool) -> None:
    """Install the wheel at `path` into a layer, as an installer would into /app/.venv. Ends with 1 if it is broken."""
    places = dict.fromkeys(("purelib", "platlib"), SITE)
    places |= {"scripts": f"{VENV}/bin", "data": VENV, "headers": f"{VENV}/include/{path.name.partition('-')[0]}"}
    target = SchemeDictionaryDestination(
        places, interpreter=f"{VENV}/bin/python", script_kind="posix", destdir=str(layer), overwrite_existing=True
    )
    try:
        with zipfile.ZipFile(path) as archive:
            wheel = Wheel(archive)
            wheel.with_tests = with_tests
            install(wheel, target, {"INSTALLER": b"installer\n"})
    except (InstallerError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"{path.name} can't be installed: {error}")


def install_all(wheels: list[Path], layer: Path) -> None:
    """Install wheels into a layer, which is made, in their order."""
    layer.mkdir(parents=True)
    names = WITH_TESTS.read_text(encoding="utf-8").split() if WITH_TESTS.exists() else []
    for path in wheels:
        install_wheel(path, layer, with_tests=canonicalize_name(path.name.partition("-")[0]) in names)
    settle(layer)


def main(arguments: list[str]) -> None:
    """Do what the command line says; print how to use this when it says nothing known."""
    try:
        match arguments:
            case ["wheels", path, layer, cache]:
                install_all(fetch(listed(Path(path)), Path(cache)), Path(layer))
            case ["archives", path, folder, cache]:
                Path(folder).mkdir()
                for archive in fetch(listed(Path(path)), Path(cache)):
                    shutil.copy(archive, folder)
            case ["built", folder, layer]:
                install_all(sorted(Path(folder).glob("*.whl")), Path(layer))
            case _:
                print(__doc__, file=sys.stderr)
                raise SystemExit(2)
    except mirror.SettingError as error:
        mirror.say(str(error))
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(sys.argv[1:])
