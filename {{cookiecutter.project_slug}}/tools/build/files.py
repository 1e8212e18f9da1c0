"""Fetch files of packages, each known by its hash, from the mirror or from upstream: for the scripts of the stages.

Each file is compared with its hash before it is used, whether it was in the cache or not: what else has written there
does not matter.
"""

import base64
import gzip
import hashlib
import os
import re
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from build import mirror

PARALLEL = 8  # downloads at once
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"


class WrongHashError(Exception):
    """A file is not the one that was locked; the text is the whole report."""


class File(NamedTuple):
    """A file of a package."""

    package: str
    version: str
    name: str
    locked: str  # its hash, or several, with commas between, of which it has one
    source: str = ""  # the index that it must come from, if that is not the usual one, or its address

    def kind(self) -> str:
        """Return the name of the algorithm."""
        return self.locked.partition(":")[0]

    def has(self, digest: str) -> bool:
        """Return whether `digest`, hexadecimal, is right."""
        return f"{self.kind()}:{digest}" in self.locked.split(",")


def listed(path: Path) -> list[File]:
    """Return the files in one of lock.py's lists."""
    return [File(*line.split()) for line in path.read_text(encoding="utf-8").splitlines()]


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
        """Return the address of a file: its own, or as the index page of its package gives it."""
        if mirror.file_name(file.source) == file.name:
            return file.source
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
        address = self.address(file)
        served = hashlib.new(file.kind())
        with self.open(address, mirror.patience(self.env)) as answer, target.open("wb") as copy:
            while chunk := answer.read(1 << 18):
                served.update(chunk)
                copy.write(chunk)
            size = copy.tell()
        # Python says so by itself only to those who read all at once.
        if size != int(answer.headers.get("Content-Length", size)):
            raise OSError(f"{mirror.CUT_SHORT} after {size} bytes")
        if not file.has(served.hexdigest()):
            told = [f"hash mismatch: {file.package}=={file.version}", *file.locked.split(","), served.hexdigest()]
            raise WrongHashError("\n".join(told))

    def get(self, file: File) -> Path:
        """Return the path of a file in the cache, fetched if it is not there. Raises SourceError or WrongHashError."""
        path = self.cache / re.sub(r"\W", "-", file.locked) / file.name
        if path.exists():
            with path.open("rb") as copy:
                if file.has(hashlib.file_digest(copy, file.kind()).hexdigest()):
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


def fetch(files: Sequence[File], cache: Path) -> list[Path]:
    """Return the paths of files, fetched into the cache. Ends as mirror.with_fallback does."""
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
