"""Install locked packages into one layer of the image.

    python -m build.packages wheels LIST LAYER CACHE     fetch the wheels in LIST and install them
    python -m build.packages archives LIST FOLDER CACHE  fetch the source archives in LIST into FOLDER
    python -m build.packages built FOLDER LAYER          install the wheels that were built of them

LIST is one of lock.py's. LAYER, a folder that is copied to the root of the image, gets /app/.venv: a whole virtual
environment with these packages alone. Laid over each other, the layers are the environment with all of them. Files,
modes and times are the same whenever and wherever this runs.

The files come from the mirror, or from upstream when it fails (mirror.py), and are kept in the folder CACHE. Each is
compared with its hash before it is used, whether it was in CACHE or not: what else has written there does not matter.

LEAVE_OUT, in the environment, names a folder of packages that stays out, wherever it is: their tests.

Exit status: 0 done, 1 a file can't be had or installed, 2 a setting is wrong, 3 a wrong hash.
"""

import base64
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InstallerError
from installer.sources import WheelContentElement, WheelFile

from build import mirror
from build.layer import settle

PARALLEL = 8  # downloads at once
VENV = "/app/.venv"
SITE = f"{VENV}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
# Without the patch release: a new base image alone changes no layer of packages.
SETTINGS = f"home = {Path(sys.base_exec_prefix) / 'bin'}\ninclude-system-site-packages = false\n"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"


class WrongHashError(Exception):
    """A file is not the one that was locked; the text is the whole report."""


class File(NamedTuple):
    """A line of LIST: a file of a package, and the index that it must come from if that is not the usual one."""

    package: str
    version: str
    name: str
    digest: str
    source: str = ""


class Source:
    """A package index that files are fetched from."""

    def __init__(self, url: str, cache: Path, env: Mapping[str, str], tries: int) -> None:
        """Take files from the index `url`; `tries` is how often one is asked for."""
        self.url, self.cache, self.env, self.tries = url, cache, env, tries
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=mirror.trusted(env)))

    def open(self, url: str, seconds: int, **headers: str) -> HTTPResponse:
        """Return the answer to a request, sent with the credentials that there are for its host.

        Raises OSError, also when nothing has come for `seconds`.
        """
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - mirror.py lets only web addresses pass
        if found := mirror.credentials(urlsplit(url).hostname or "", self.env):
            token = base64.b64encode(":".join(found).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        try:
            answer: HTTPResponse = self.opener.open(request, timeout=seconds)
        except OSError as error:
            if isinstance(getattr(error, "reason", error), TimeoutError):
                raise TimeoutError(f"no answer in {seconds} s") from None
            raise
        return answer

    def address(self, file: File) -> str:
        """Return the address of a file, as the index page of its package gives it."""
        page = f"{(file.source or self.url).rstrip('/')}/{file.package}/"
        with self.open(page, mirror.TIMEOUT, Accept=ACCEPT, **{"Accept-Encoding": "gzip"}) as answer:
            body: bytes = answer.read()
            if answer.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            page = answer.url
        for link in mirror.links(body):
            if mirror.file_name(link) == file.name:
                return urljoin(page, link)
        raise mirror.SourceError(f"{page}: no {file.name} on it: it is stale, or no index page (a login page?)")

    def fetch(self, file: File, target: Path) -> None:
        """Download a file to the path `target`. Raises WrongHashError unless it is the one that was locked."""
        kind, _, locked = file.digest.partition(":")
        address = self.address(file)
        served = hashlib.new(kind)
        with self.open(address, mirror.patience(self.env)) as answer, target.open("wb") as copy:
            while chunk := answer.read(1 << 18):
                served.update(chunk)
                copy.write(chunk)
            size = copy.tell()
        # Python says so by itself only to those who read all at once.
        if size != int(answer.headers.get("Content-Length", size)):
            raise OSError(f"{mirror.CUT_SHORT} after {size} bytes")
        if served.hexdigest() != locked:
            raise WrongHashError(f"hash mismatch: {file.package}=={file.version}\n{locked}\n{served.hexdigest()}")

    def get(self, file: File) -> Path:
        """Return the path of a file in the cache, fetched if it is not there. Raises SourceError or WrongHashError."""
        path = self.cache / file.digest.replace(":", "-") / file.name
        if path.exists() and is_locked(path, file.digest):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(self.tries)):
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as copy:
                target = Path(copy.name)
            try:
                self.fetch(file, target)
                return target.replace(path)
            except (OSError, HTTPException, ValueError) as error:
                if not left:
                    raise mirror.SourceError(f"{file.package}=={file.version}: {mirror.why(error)}") from None
            finally:
                target.unlink(missing_ok=True)
        raise AssertionError


def is_locked(path: Path, locked: str) -> bool:
    """Return whether a file has the hash `locked` (sha256:...)."""
    kind, _, value = locked.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest() == value


class Wheel(WheelFile):
    """A wheel without the folders that stay out."""

    left_out = ""

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Yield what is to be installed."""
        for record, stream, is_executable in super().get_contents():
            if not self.left_out or self.left_out not in record[0].split("/")[:-1]:
                yield record, stream, is_executable


def make_environment(layer: Path) -> None:
    """Make an empty virtual environment in a layer; it reads the project from /app/lib."""
    programs, site = layer / VENV[1:] / "bin", layer / SITE[1:]
    programs.mkdir(parents=True)
    site.mkdir(parents=True)
    (layer / VENV[1:] / "pyvenv.cfg").write_text(SETTINGS, encoding="utf-8")
    (programs / "python").symlink_to(Path(sys.base_exec_prefix) / "bin/python3")
    for name in ("python3", SITE.split("/")[4]):
        (programs / name).symlink_to("python")
    (site / "app.pth").write_text("/app/lib\n", encoding="utf-8")


def install_wheel(path: Path, layer: Path, left_out: str) -> None:
    """Install the wheel at `path` into a layer, as an installer would into /app/.venv. Ends with 1 if it is broken."""
    places = dict.fromkeys(("purelib", "platlib"), SITE)
    places |= {"scripts": f"{VENV}/bin", "data": VENV, "headers": f"{VENV}/include/{path.name.partition('-')[0]}"}
    target = SchemeDictionaryDestination(
        places, interpreter=f"{VENV}/bin/python", script_kind="posix", destdir=str(layer), overwrite_existing=True
    )
    try:
        with zipfile.ZipFile(path) as archive:
            wheel = Wheel(archive)
            wheel.left_out = left_out
            install(wheel, target, {"INSTALLER": b"installer\n"})
    except (InstallerError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"{path.name} can't be installed: {error}")


def fetch(path: Path, cache: Path) -> list[Path]:
    """Return the files that a list names, fetched into the cache. Ends as mirror.with_fallback does."""
    files = [File(*line.split()) for line in path.read_text(encoding="utf-8").splitlines()]
    paths: list[Path] = []

    def download(url: str) -> None:
        source = Source(url or mirror.upstream_index(), cache, os.environ, tries)
        with ThreadPoolExecutor(PARALLEL) as pool:
            try:
                paths[:] = pool.map(source.get, files)
            except WrongHashError as error:
                mirror.incident(source.url, str(error))
            finally:
                pool.shutdown(cancel_futures=True)

    setting = mirror.pypi(os.environ)
    # Each once where there is another source.
    tries = 1 if setting.url and mirror.fallback(os.environ) else 3
    if files:
        mirror.with_fallback(setting, download)
    return paths


def install_all(wheels: list[Path], layer: Path) -> None:
    """Install wheels into a layer, in their order."""
    make_environment(layer)
    for path in wheels:
        install_wheel(path, layer, os.environ.get("LEAVE_OUT", ""))
    settle(layer)


def main(arguments: list[str]) -> None:
    """Do what the command line says; print how to use this when it says nothing known."""
    try:
        match arguments:
            case ["wheels", path, layer, cache]:
                install_all(fetch(Path(path), Path(cache)), Path(layer))
            case ["archives", path, folder, cache]:
                Path(folder).mkdir()
                for archive in fetch(Path(path), Path(cache)):
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
