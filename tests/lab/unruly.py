"""A package mirror that misbehaves on command, in front of one that does not.

It serves a PyPI simple index below /pypi/simple/ and a Debian archive below /debian/, by passing each request on to a
well-behaved mirror laid out in the same way. `behave` says how it answers instead.
"""

import base64
import contextlib
import fnmatch
import hashlib
import http.client
import io
import re
import socket
import ssl
import subprocess
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STOWAWAY = "unruly_was_here.py"


@dataclass(frozen=True)
class Behaviour:
    """What the mirror does wrong; nothing, unless told."""

    silent: bool = False  # accepts connections and never says a word, not even in TLS
    hang: bool = False  # takes the request and never answers
    status: int = 200  # answers everything with this status
    login: bool = False  # answers everything with the page of a login form
    missing: str = ""  # 404 for files of this name (a pattern)
    stale: str = ""  # index pages list no file of this name (a pattern)
    short: str = ""  # files of this name end half-way
    late: str = ""  # files of this name are kept back for LATE seconds
    garbled: str = ""  # files of this name have one byte changed
    altered: str = ""  # wheels of this name hold one more module
    lying: bool = False  # index pages give altered wheels their own, correct hash
    forged: bool = False  # Debian's release files are changed after they were signed
    credentials: str = ""  # user:password without which it answers 401
    links: str = ""  # index pages link to the files on this server


GOOD = Behaviour()
LATE = 9  # longer than a silent mirror is waited for


@cache
def alter(wheel: bytes) -> bytes:
    """Return the wheel with one more module in it: any installer would take it, but for its hash."""
    copy = io.BytesIO(wheel)
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr(zipfile.ZipInfo(STOWAWAY), "print('this code was never locked')\n")
    return copy.getvalue()


def openssl(*arguments: str | Path) -> bytes:
    """Run openssl and return what it prints."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def certificate(folder: Path, ca: Path, key: Path, names: list[str]) -> Path:
    """Make a certificate for `names` (DNS:...), signed by the authority `ca`; return a file with it and its key."""
    both, request, extensions = folder / "server.pem", folder / "server.csr", folder / "names"
    extensions.write_text(f"subjectAltName={','.join(names)}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=unruly", "-keyout", both, "-out", request)
    # A serial number of our own: the file that openssl counts in is beside the authority, which others use as well.
    serial = str(uuid.uuid4().int)
    signing = ("-CA", ca, "-CAkey", key, "-set_serial", serial, "-days", "2", "-extfile", extensions)
    both.write_bytes(both.read_bytes() + openssl("x509", "-req", "-in", request, *signing))
    return both


def authority(folder: Path) -> tuple[Path, Path]:
    """Make a certificate authority that nobody knows; return the files of its certificate and its key."""
    ca, key = folder / "private-ca.crt", folder / "private-ca.key"
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    subject = ("-subj", "/CN=Private authority")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *usage, "-keyout", key, "-out", ca)
    return ca, key


@dataclass
class Unruly:
    """The mirror: `behave` is how it answers from now on, `requests` are the paths that it was asked for."""

    origin: str
    address: str
    server: "Server"
    behave: Behaviour = GOOD
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)  # the credentials that came with them

    @property
    def pypi(self) -> str:
        """Its package index."""
        return f"{self.address}/pypi/simple/"

    @property
    def debian(self) -> str:
        """Its Debian archive."""
        return f"{self.address}/debian"

    def fetch(self, path: str, accept: str = "*/*") -> tuple[int, str, bytes]:
        """Return status, type and body of the well-behaved mirror's answer."""
        connection = http.client.HTTPConnection(self.origin, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", "text/plain"), answer.read()

    def page(self, body: bytes) -> bytes:
        """Return an index page (JSON or HTML) as the present behaviour would have it."""
        text = body.decode()
        # To leave a file out, a name that fits no version is enough.
        if self.behave.stale:
            stale = re.compile(fnmatch.translate(self.behave.stale).replace(r"\Z", "").replace(".*", r'[^"/<>]*'))
            text = stale.sub("left-out.txt", text)
        if self.behave.lying:
            for path in set(re.findall(r'"(/pypi/packages/[^"#]+)', text)):
                if fnmatch.fnmatch(path.rsplit("/", 1)[1], self.behave.altered):
                    wheel = self.fetch(path)[2]
                    text = text.replace(hashlib.sha256(wheel).hexdigest(), hashlib.sha256(alter(wheel)).hexdigest())
                    text = text.replace(f'"size": {len(wheel)},', f'"size": {len(alter(wheel))},')
        if self.behave.links:
            text = text.replace('"/pypi/packages/', f'"{self.behave.links}/pypi/packages/')
        return text.encode()


def listen_until_closed(connection: socket.socket) -> None:
    """Say nothing until the other side has hung up."""
    while connection.recv(4096):
        pass


class Server(ThreadingHTTPServer):
    """One listening socket of the mirror."""

    daemon_threads = True
    mirror: Unruly
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer one connection, in its own thread."""
        # A client that hangs up is part of the game.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self.mirror.behave.silent:
                listen_until_closed(request)
            elif self.tls:
                request = stack.enter_context(self.tls.wrap_socket(request, server_side=True))
            super().finish_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request as the mirror behaves at present."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        mirror, path = self.server.mirror, self.path
        how, name = mirror.behave, path.rsplit("/", 1)[-1]
        mirror.requests.append(path)
        mirror.tokens += self.headers.get_all("Authorization", [])
        token = "Basic " + base64.b64encode(how.credentials.encode()).decode()
        if how.hang:
            listen_until_closed(self.connection)
        elif how.status != 200:
            self.answer(how.status, "text/plain", b"no\n")
        elif how.credentials and self.headers.get("Authorization") != token:
            self.answer(401, "text/plain", b"who are you?\n")
        elif how.login:
            self.answer(
                200, "text/html", b"<!DOCTYPE html><html><body><form action=/login>Sign in</form></body></html>"
            )
        elif how.missing and fnmatch.fnmatch(name, how.missing):
            self.answer(404, "text/plain", b"not here\n")
        else:
            self.pass_on(mirror, path, name)

    do_HEAD = do_GET  # noqa: N815

    def pass_on(self, mirror: Unruly, path: str, name: str) -> None:
        """Answer with what the well-behaved mirror has, changed as the behaviour says."""
        status, kind, body = mirror.fetch(path, self.headers.get("Accept", "*/*"))
        how, sent = mirror.behave, None
        if status == 200 and path.startswith("/pypi/simple/"):
            body = mirror.page(body)
        elif status == 200 and how.altered and fnmatch.fnmatch(name, how.altered):
            body = alter(body)
        elif how.late and fnmatch.fnmatch(name, how.late):
            time.sleep(LATE)
        elif how.garbled and fnmatch.fnmatch(name, how.garbled):
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        elif how.forged and name in ("InRelease", "Release"):
            body = body.replace(b"Origin: Debian", b"Origin: Nobody")
        elif how.short and fnmatch.fnmatch(name, how.short):
            sent = len(body) // 2
        self.answer(status, kind, body, sent)

    def answer(self, status: int, kind: str, body: bytes, sent: int | None = None) -> None:
        """Send an answer; only the first `sent` bytes of it, if given."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 200 and self.path.startswith("/pypi/packages/"):
            self.send_header("Cache-Control", "max-age=31536000, immutable")  # as upstream says, and its mirrors repeat
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="mirror"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
        self.close_connection = sent is not None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it overrides
        """Keep quiet."""


@contextlib.contextmanager
def unruly(origin: str, listen: str, host: str, tls: Path | None = None) -> Iterator[Unruly]:
    """Run a mirror in front of the one on `origin`, on a free port of the address `listen`, which `host` names.

    With the certificate `tls` it speaks https, else http.
    """
    server = Server((listen, 0), Handler)
    if tls:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(tls)
    address = f"{'https' if tls else 'http'}://{host}:{server.server_port}"
    server.mirror = Unruly(origin, address, server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refusing(host: str) -> str:
    """Return an address of `host` that refuses connections."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return f"https://{host}:{probe.getsockname()[1]}"
