"""Run a download through the package mirror, or from upstream when the mirror can't serve it.

    python mirror.py index COMMAND ...   run COMMAND (pip, uv or Poetry) with the package index set for it
    python mirror.py apt LIST            apt-get install the Debian packages that the file LIST names

Where the addresses come from, first match first; empty means upstream:
    PyPI     PYPI_MIRROR, else `index-url` in docker/pip.conf
    Debian   DEBIAN_MIRROR, else `URIs` in docker/debian.sources
MIRROR_FALLBACK=0 means the mirror or nothing (closed networks). MIRROR_TIMEOUT is how many seconds the mirror may be
silent before or in a file, 60 unless set: one that has to fetch it first may need more. The build secrets `netrc`
(credentials) and `ca` (a private certificate authority) are read from /run/secrets.

Whatever serves a file, a hash (PyPI) or a signature (Debian) decides whether it is accepted. A wrong hash
ends the run at once: that is an incident, not an outage.

Exit status: 0 done, 1 the download failed, 2 a setting is wrong, 3 a wrong hash.
"""

from __future__ import annotations

import configparser
import hashlib
import html
import http.client
import json
import netrc
import os
import platform
import re
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import unquote, urljoin, urlsplit

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SECRETS = Path("/run/secrets")
BASE_SOURCES = Path("/etc/apt/sources.list.d")
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")

# Seconds until a mirror that is silent at the first question counts as dead. A build asks three times in a row and may
# lose 30 s in all.
TIMEOUT = 7
# What uv, pip and Poetry say about one.
WRONG_HASH = re.compile(
    r"hash mismatch|do not match the hashes|not found in known hashes|not match any known checksums", re.I
)
# What uv says about a damaged one: it unpacks a file before it compares the hash.
DAMAGED = re.compile(r"Failed to extract archive: (\S+\.(?:whl|tar\.gz|zip))")
# What has nothing to do with the source: another one would not help.
NOT_THE_SOURCE = re.compile(
    r"pyproject\.toml changed significantly|poetry\.lock was not found|requires Poetry|Poetry configuration is invalid"
    r"|Python version \S+ is not supported|unable to find a compatible version|version solving failed"
    r"|No space left on device|Permission denied|Read-only file system",
    re.I,
)
CUT_SHORT = "cut short"
# The lines of a failed tool that say why: of pip, uv and apt, and of Poetry.
TELLING = re.compile(
    r"(?:\w*error|cause|e|w: (?:gpg|signature)[^:]*): *(.+)"
    r"|(\d{3} \w+ error: .+|unable to find .+|incompleteread\(.+|cannot install .+)",
    re.I,
)
ADVICE = {
    r"requirements from `(build-system.requires|setup.py)`(?s:.*)unsatisfiable": (
        "what builds a package is pinned in tools/pins/build-backends.txt: change or delete its line there"
    ),
    r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate": (
        "Debian has no package of that name in this release: correct docker/apt-build.txt or docker/apt-runtime.txt"
    ),
}


class SettingError(Exception):
    """A setting is wrong; nothing was downloaded."""


class SourceError(Exception):
    """A source can't serve what was asked for; the text says why, in one line."""

    def __init__(self, why: str, output: str = "") -> None:
        """Keep `output`, what the tool printed."""
        super().__init__(why)
        self.output = output


class Setting(NamedTuple):
    """An address (empty: upstream) and the place that it comes from."""

    url: str
    origin: str


def say(text: str) -> None:
    """Print a line that can be found in a build log."""
    print(f"mirror: {text}", file=sys.stderr, flush=True)


# --- settings -----------------------------------------------------------------------------------------------


def pip_conf() -> dict[str, str]:
    """Return the settings in pip.conf, none without one. Raises SettingError when it can't be read."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(DOCKER / "pip.conf", encoding="utf-8")
    except configparser.Error as error:
        raise SettingError(f"docker/pip.conf can't be read: {error}") from None
    return {key: value for section in parser.sections() for key, value in parser.items(section)}


def sources() -> str:
    """Return debian.sources without its comments; empty when there is no such file."""
    path = DOCKER / "debian.sources"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return "".join(line for line in lines if not line.startswith("#"))


def pypi(env: Mapping[str, str]) -> Setting:
    """Return the package index to use. Raises SettingError when a setting is unsafe."""
    conf = pip_conf()
    if extra := conf.keys() - {"index-url", "trusted-host"}:
        raise SettingError(
            f"docker/pip.conf sets {', '.join(sorted(extra))}; only its index-url is read, remove the rest"
        )
    if "PYPI_MIRROR" in env:
        setting = Setting(env["PYPI_MIRROR"], "PYPI_MIRROR")
    else:
        setting = Setting(conf.get("index-url", ""), "docker/pip.conf")
    check(setting, env)
    if setting.url.startswith("https:"):
        trusted = {"trusted-host in docker/pip.conf": conf.get("trusted-host")}
        trusted |= {name: env.get(name) for name in ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST")}
        for name in (name for name, value in trusted.items() if value):
            raise SettingError(
                f"{name} would switch certificate checks off for {setting.url}; remove it"
                " (a private certificate authority comes in as the build secret 'ca')"
            )
    return setting


def debian(env: Mapping[str, str]) -> Setting:
    """Return the Debian archive to use. Raises SettingError when a setting is unsafe."""
    if unsafe := re.search(r"^(Trusted|Allow-\S+): *yes", sources(), re.MULTILINE | re.IGNORECASE):
        raise SettingError(f"{unsafe[0]!r} in docker/debian.sources would switch apt's signature checks off; remove it")
    if "DEBIAN_MIRROR" in env:
        setting = Setting(env["DEBIAN_MIRROR"], "DEBIAN_MIRROR")
    else:
        found = re.search(r"^URIs:\s*(\S+)", sources(), re.MULTILINE)
        setting = Setting(found[1] if found else "", "docker/debian.sources")
    check(setting, env)
    return setting


def check(setting: Setting, env: Mapping[str, str]) -> None:
    """Raise SettingError unless `setting` is empty or a web address that is safe to use."""
    parts = urlsplit(setting.url)
    if parts.username or parts.password:
        raise SettingError(
            f"{setting.origin} holds credentials for {parts.hostname}, which would stay in the image's"
            " history: give them as the build secret 'netrc' instead"
        )
    if setting.url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise SettingError(
            f"{setting.origin} is {setting.url!r}; allowed are a web address (https://host/path),"
            " or nothing for upstream"
        )
    if parts.scheme == "http":
        if credentials(parts.hostname or "", env):
            raise SettingError(f"{setting.url} is plain http: credentials (netrc) could be read on the way; use https")
        say(f"{setting.url} is plain http: hashes and signatures decide what is accepted")


def fallback(env: Mapping[str, str]) -> bool:
    """Tell whether upstream may be asked when the mirror fails. Raises SettingError unless it is 0 or 1."""
    value = env.get("MIRROR_FALLBACK", "1")
    if value not in ("0", "1"):
        raise SettingError(
            f"MIRROR_FALLBACK is {value!r}; allowed are 1 (upstream when the mirror fails) and 0 (never)"
        )
    return value == "1"


def patience(env: Mapping[str, str]) -> int:
    """Return how many seconds the mirror may be silent in a file. Raises SettingError unless from 1 to 3600."""
    value = env.get("MIRROR_TIMEOUT") or "60"
    if not value.isdecimal() or not 1 <= int(value) <= 3600:
        raise SettingError(f"MIRROR_TIMEOUT is {value!r}; allowed are seconds, from 1 to 3600")
    return int(value)


# --- secrets ------------------------------------------------------------------------------------------------


def netrc_file(env: Mapping[str, str]) -> Path:
    """Return the file with credentials: the build secret, or what pip and uv read on a person's machine."""
    secret = SECRETS / "netrc"
    return secret if secret.exists() else Path(env.get("NETRC") or Path.home() / ".netrc")


def credentials(host: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return user and password for `host`. Raises SettingError when the file can't be read."""
    path = netrc_file(env)
    try:
        found = netrc.netrc(path).authenticators(host) if path.is_file() else None
    except (netrc.NetrcParseError, OSError) as error:
        raise SettingError(f"the credentials in {path} can't be read: {getattr(error, 'msg', error)}") from None
    return (found[0], found[2] or "") if found else None


def ca_bundle(folder: Path, env: Mapping[str, str]) -> Path | None:
    """Return the authorities to trust: the system's and the build secret's; None: those of each tool."""
    known = Path(env.get("SSL_CERT_FILE") or SYSTEM_CA)
    if not (SECRETS / "ca").exists():
        return known if known.exists() else None
    bundle = folder / "ca.pem"
    files = [path for path in (known, SECRETS / "ca") if path.exists()]
    bundle.write_bytes(b"\n".join(path.read_bytes() for path in files))
    return bundle


def trusted(env: Mapping[str, str]) -> ssl.SSLContext:
    """Return the TLS settings for requests of our own. Raises SettingError when an authority can't be read."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return ssl.create_default_context(cafile=ca_bundle(Path(folder), env))
        except (ssl.SSLError, OSError) as error:
            raise SettingError(f"the certificate authorities (build secret 'ca') can't be read: {error}") from None


# --- asking a source ourselves ------------------------------------------------------------------------------


def fetch(url: str, env: Mapping[str, str], *, size: int = -1, seconds: float = TIMEOUT) -> bytes:
    """Return what `url` answers, the first `size` bytes or all. Raises SourceError, in `seconds` at most."""
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if found := credentials(urlsplit(url).hostname or "", env):
        passwords.add_password(None, url, *found)
    trust = trusted(env)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=trust), urllib.request.HTTPBasicAuthHandler(passwords)
    )
    opener.addheaders = [("Accept", "application/vnd.pypi.simple.v1+json, text/html;q=0.1, */*;q=0.01")]
    answers: list[bytes | str] = []
    # A thread, for nothing else bounds the sum of look-up, connection attempts, handshake and answer.
    thread = threading.Thread(target=lambda: answers.append(ask(opener, url, size)), daemon=True)
    thread.start()
    thread.join(seconds)
    answer = answers[0] if answers else f"no answer in {seconds:.0f} s"
    if isinstance(answer, str):
        raise SourceError(f"{url}: {answer}")
    return answer


def ask(opener: urllib.request.OpenerDirector, url: str, size: int) -> bytes | str:
    """Return the first `size` bytes that `url` answers, or all (-1); else the reason why not."""
    try:
        with opener.open(url, timeout=60) as answer:
            body: bytes = answer.read() if size < 0 else answer.read(size)
            return body
    except (OSError, http.client.HTTPException) as error:
        return why(error)


def why(error: Exception) -> str:
    """Return in a line why a request failed."""
    if isinstance(error, urllib.error.HTTPError):
        hint = "; credentials for it come in as the build secret 'netrc'" if error.code in (401, 403) else ""
        return f"HTTP {error.code} {error.reason}{hint}"
    if isinstance(error, http.client.IncompleteRead):
        return f"{CUT_SHORT} after {len(error.partial)} bytes"
    return str(getattr(error, "reason", "") or error) or type(error).__name__


def check_index(url: str, package: str, env: Mapping[str, str]) -> None:
    """Raise SourceError unless the package index `url` has a page with files of `package`."""
    page = f"{url.rstrip('/')}/{package}/"
    if not re.search(rb"\.(whl|tar\.gz|zip)\b", fetch(page, env, size=1 << 16)):
        raise SourceError(f"{page}: the answer is no index page (a login page?)")


def upstream_index() -> str:
    """Return the package index that pip uses when nothing of ours is set; empty if there is no pip to ask."""
    wheels = [*Path(os.__file__).with_name("ensurepip").glob("_bundled/pip-*.whl")]
    wheels += Path("/usr/share/python-wheels").glob("pip-*.whl")  # where Debian has it
    env = {"COLUMNS": "500"}
    if base := os.environ.get("PIP_INDEX_URL"):
        env["PIP_INDEX_URL"] = base
    for pip in (["-m", "pip"], *([f"{wheel}/pip"] for wheel in wheels)):
        command = [sys.executable, *pip, "download", "--help"]
        told = subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout  # noqa: S603
        if found := re.search(r"--index-url <url>.*?\(default (https?://[^\s)]+)\)", told, re.DOTALL):
            return found[1]
    return ""


def check_archive(url: str, release: str, env: Mapping[str, str]) -> None:
    """Raise SourceError unless the Debian archive `url` has something signed for `release`."""
    page = f"{url.rstrip('/')}/dists/{release}/InRelease"
    if not fetch(page, env, size=1 << 10).startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        raise SourceError(f"{page}: the answer is no signed list of a Debian archive (a login page?)")


# --- running a tool -----------------------------------------------------------------------------------------


@contextmanager
def environment(url: str, own: Mapping[str, str], *, retries: int) -> Iterator[dict[str, str]]:
    """Yield the environment that makes the tools use the index `url`; for upstream, `own` and the secrets."""
    env = dict(own)
    with tempfile.TemporaryDirectory() as folder:
        if (SECRETS / "netrc").exists():
            env["NETRC"] = str(SECRETS / "netrc")
        if bundle := ca_bundle(Path(folder), own):
            env |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(bundle))
        if url:
            seconds = str(patience(own))
            # Never a second source beside the mirror: the better version would win, wherever it came from.
            for name in ("EXTRA_INDEX_URL", "FIND_LINKS", "INDEX_URL", "INDEX"):
                for tool in ("PIP", "UV"):
                    env.pop(f"{tool}_{name}", None)
            env |= {
                "PIP_CONFIG_FILE": os.devnull,
                "UV_NO_CONFIG": "1",
                "PIP_INDEX_URL": url,
                "UV_DEFAULT_INDEX": url,
                "POETRY_PYPI_MIRROR_URL": url,
                "PIP_NO_INPUT": "1",
                "PIP_TIMEOUT": seconds,
                "PIP_DEFAULT_TIMEOUT": seconds,
                "UV_HTTP_TIMEOUT": seconds,
                "POETRY_REQUESTS_TIMEOUT": seconds,
                "PIP_RETRIES": str(retries),
                "UV_HTTP_RETRIES": str(retries),
            }
            if url.startswith("http:"):
                env["PIP_TRUSTED_HOST"] = urlsplit(url).netloc
        yield env


def run(command: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run `command`, passing on what it prints; return its exit status and its output."""
    output = []
    with subprocess.Popen(  # noqa: S603 - the command is the caller's own
        command, env=env, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            sys.stderr.flush()
            output.append(line)
    return process.returncode, "".join(output)


def reason(output: str) -> str:
    """Return in one line the first and the last error or cause in a failed tool's output."""
    lines = [line.strip(" |\t") for line in output.splitlines() if line.strip()]
    found = [match[1] or match[2] for line in lines if (match := TELLING.match(line))]
    found = found or lines or ["it said nothing"]
    return "; ".join(dict.fromkeys(textwrap.shorten(line, 300, placeholder=" ...") for line in (found[0], found[-1])))


def with_fallback(setting: Setting, download: Callable[[str], None]) -> None:
    """Do `download` with the mirror; if it fails and may, whole again with upstream (""). Else end with 1."""
    urls = [setting.url, ""] if setting.url and fallback(os.environ) else [setting.url]
    for url in urls:
        try:
            return download(url)
        except SourceError as error:
            last, then = error, "giving up" if url == urls[-1] else "trying again on upstream"
            say(f"{url or 'upstream'} failed ({error}); {then}")
    for pattern, advice in ADVICE.items():
        if found := re.search(pattern, last.output, re.IGNORECASE):
            say(f"{found[0].splitlines()[0]}: {advice}")
    if setting.url and urls[-1]:
        say(
            f"upstream was not asked (MIRROR_FALLBACK=0). The address is from {setting.origin}: correct it"
            " there, have the mirror put right, or set MIRROR_FALLBACK=1; 'make doctor' shows what answers"
        )
    raise SystemExit(1)


# --- packages from PyPI -------------------------------------------------------------------------------------


def first_package(command: list[str]) -> str:
    """Return a package that `command` asks for: the first in a file that it names, or in the lock; or ""."""
    for path in (Path(word) for word in (*command, "poetry.lock") if word.endswith((".txt", ".lock"))):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if found := re.search(r'^(?:name = ")?([\w.-]+)(?:==|"$)', text, re.MULTILINE):
            return normal(found[1])
    return ""


def normal(name: str) -> str:
    """Return the name of a package as an index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def index(command: list[str]) -> None:
    """Run `command` with the package index set."""
    setting = pypi(os.environ)
    # One second try where there is no other source; Poetry has tries of its own.
    retries = 0 if fallback(os.environ) else 1

    def download(url: str) -> None:
        if url and (package := first_package(command)):
            check_index(url, package, os.environ)
        with environment(url, os.environ, retries=retries) as env:
            status, output = run(command, env)
            if status and NOT_THE_SOURCE.search(output):
                raise SystemExit(status)
            if status and (damage := damaged(output, url or upstream_index(), command, env)):
                incident(url, damage)
            if status and WRONG_HASH.search(output):
                require_whole_file(output, env)
                incident(url, output)
        if status:
            raise SourceError(reason(output), output)

    with_fallback(setting, download)


def require_whole_file(output: str, env: Mapping[str, str]) -> None:
    """Raise SourceError if the file with the wrong hash arrives in part: pip before 25.1 does not notice."""
    if served := re.search(r"from (https?://[^\s()]+)", output):
        try:
            fetch(served[1], env, seconds=2 * patience(env))
        except SourceError as error:
            if CUT_SHORT in str(error):
                raise


def damaged(output: str, url: str, command: list[str], env: Mapping[str, str]) -> str:
    """Return what uv would say of a file with a wrong hash, if it could not even unpack it; else ""."""
    if not (told := DAMAGED.search(output)):
        return ""
    name = told[1]
    package, version = name.split("-")[:2]
    page = f"{url.rstrip('/')}/{normal(package)}/"
    try:
        (link,) = {link for link in links(fetch(page, env, seconds=patience(env))) if file_name(link) == name}
        served = hashlib.sha256(fetch(urljoin(page, link), env, seconds=2 * patience(env))).hexdigest()
    except (SourceError, ValueError):  # it arrives in part, or is gone by now
        return ""
    wanted = "".join(Path(word).read_text(encoding="utf-8") for word in command if word.endswith(".txt"))
    entries = [entry for entry in re.split(r"\n(?=\S)", wanted) if normal(entry.partition("==")[0]) == normal(package)]
    locked = re.findall(r"sha256:(\w+)", "".join(entries))
    return "" if served in locked else "\n".join([f"hash mismatch: {package}=={version}", *locked, served])


def links(page: bytes) -> Iterator[str]:
    """Yield the addresses of the files on an index page: JSON (PEP 691) or HTML (PEP 503)."""
    if page.startswith(b"{"):
        yield from (file["url"] for file in json.loads(page)["files"])
    else:
        yield from map(html.unescape, re.findall(r'<a\s[^>]*?href="([^"]+)"', page.decode(errors="replace"), re.I))


def file_name(link: str) -> str:
    """Return the name of the file at an address."""
    return unquote(urlsplit(link).path).rpartition("/")[2]


def incident(url: str, output: str) -> NoReturn:
    """Report a file whose hash is not the one in the lock, and end with status 3."""
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if WRONG_HASH.search(line))
    told = "\n".join(lines[first:])
    package = re.search(r"[\w.-]+==[^\s`;:]+|[\w.-]+ \(\d[^\s)]*\)", told)
    *locked, served = re.findall(r"\b[0-9a-f]{64,}\b", told) or ["?"]
    if file := re.search(r"from archive (\S+)", told):  # Poetry does not say what it has locked
        lock = Path("poetry.lock").read_text(encoding="utf-8")
        locked = re.findall(rf'"{re.escape(file[1])}", hash = "sha256:(\w+)"', lock)
    say(f"STOP: {package[0] if package else 'a file'} is not the file that was locked; it is not installed.")
    say(f"  served by  {url or 'upstream'}")
    say(f"  locked     {' or '.join(dict.fromkeys(locked)) or '?'}")
    say(f"  served     {served}")
    say("Nor is it tried elsewhere: find out who changed the file, or the lock, before you build again.")
    say("To leave the mirror out meanwhile: PYPI_MIRROR= (a build argument, or in the environment of make)")
    raise SystemExit(3)


# --- packages from Debian -----------------------------------------------------------------------------------


def packages(path: Path) -> list[str]:
    """Return the Debian package names in a list: one a line, `#` starts a comment. Raises SettingError without one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingError(f"the list of Debian packages can't be read: {error}") from None
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def security() -> str:
    """Return the base image's own apt source of Debian's security suite."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(BASE_SOURCES.glob("*.sources")))
    return "\n\n".join(s for s in text.split("\n\n") if re.search(r"^Suites:.*-security", s, re.MULTILINE))


def suite() -> str:
    """Return the code name of the Debian release that this runs on. Raises SettingError elsewhere."""
    name = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if not name:
        raise SettingError("/etc/os-release names no Debian release: the base images must be Debian's")
    return name


def apt_get(folder: Path, url: str) -> list[str]:
    """Return `apt-get` with options: the secrets; for a mirror, a time limit and the sources in `folder`."""
    options = {"APT::Update::Error-Mode": "any"}
    if (SECRETS / "netrc").exists():
        options["Dir::Etc::netrc"] = str(SECRETS / "netrc")
    if (SECRETS / "ca").exists():
        options["Acquire::https::CAInfo"] = str(ca_bundle(folder, os.environ))
    if url:
        options |= {
            "Dir::Etc::SourceList": os.devnull,
            "Dir::Etc::SourceParts": str(folder),
            "Acquire::Retries": "0",
            "Acquire::http::Timeout": str(patience(os.environ)),
            "Acquire::https::Timeout": str(patience(os.environ)),
        }
    return ["apt-get", "-q", "-y", *(f"-o{key}={value}" for key, value in options.items())]


def write_sources(folder: Path, url: str) -> None:
    """Write apt's sources: main and updates from the mirror `url`, security as in the base image."""
    default = f"Types: deb\nURIs: {url}\nSuites: SUITE SUITE-updates\nComponents: main\n"
    default += "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    text = re.sub(r"^URIs:.*$", f"URIs: {url}", sources() or default, flags=re.MULTILINE)
    (folder / "mirror.sources").write_text(text.replace("SUITE", suite()), encoding="utf-8")
    (folder / "security.sources").write_text(security() + "\n", encoding="utf-8")


def apt(path: Path) -> None:
    """Install the Debian packages that the file `path` names; an empty list runs no apt at all."""
    names = packages(path)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def download(url: str) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)  # apt reads it as the user _apt
            apt_get_ = apt_get(folder, url)
            if url:
                check_archive(url, suite(), os.environ)
                write_sources(folder, url)
            status, output = run([*apt_get_, "update"], env)
            if status and url:
                (folder / "security.sources").unlink()
                status, output = run([*apt_get_, "update"], env)
                if not status:
                    say("Debian's security suite can't be reached: packages come without its latest fixes")
            if not status:
                status, output = run([*apt_get_, "install", "--no-install-recommends", *names], env)
        if status:
            raise SourceError(reason(output), output)

    if names:
        with_fallback(debian(os.environ), download)


def main(arguments: list[str]) -> None:
    """Do what the command line says; print how to use this when it says nothing known."""
    try:
        match arguments:
            case ["index", _, *_]:
                index(arguments[1:])
            case ["apt", path]:
                apt(Path(path))
            case _:
                print(__doc__, file=sys.stderr)
                raise SystemExit(2)
    except SettingError as error:
        say(str(error))
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(sys.argv[1:])
