"""Run a download through the package mirror, or from upstream when the mirror fails.

    python mirror.py index COMMAND ...   run COMMAND (pip, uv or Poetry) with the package index set for it
    python mirror.py apt LIST            apt-get install the Debian packages that the file LIST names

Where the addresses come from, first match first; empty means upstream:
    PyPI     PYPI_MIRROR, else `index-url` in docker/pip.conf
    Debian   DEBIAN_MIRROR, else `URIs` in docker/debian.sources
A list of requirements that begins with an index of its own (lock.py) is served by that index alone.

    MIRROR_FALLBACK=0          the mirror or nothing (closed networks)
    MIRROR_TIMEOUT=SECONDS     how long the mirror may be silent: 5 unless set, or 60 if nothing else may be asked
    DEBIAN_SECURITY=optional   go on without Debian's security suite when it can't be reached

The build secrets `netrc` (credentials) and `ca` (a private certificate authority) are read from /run/secrets.

A hash (PyPI) or a signature (Debian) decides whether a file is accepted, wherever it comes from. What fails is run
again on upstream, but for a wrong hash: that ends the run at once.

Exit status: 0 done, 1 the download failed, 2 a setting is wrong, 3 a wrong hash.
"""

import configparser
import netrc
import os
import platform
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SECRETS = Path("/run/secrets")
BASE_SOURCES = Path("/etc/apt/sources.list.d")
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
# A build waits for a silent mirror three times, 15 s in all: for uv itself, for the lock reader, for the packages.
TIMEOUT, TIMEOUT_ALONE = 5, 60
# What uv and Poetry, and pip, say about a file that is not the one that was locked.
WRONG_HASH = re.compile(r"hash mismatch|do not match the hashes|not match any known checksums", re.IGNORECASE)
# Variables of pip and uv that would change what a command installs, where to, or how safely.
IGNORED = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_TRUSTED_HOST", "PIP_NO_BINARY"}
IGNORED |= {"UV_TARGET", "UV_PREFIX", "UV_SYSTEM_PYTHON", "UV_INSECURE_HOST", "UV_EXCLUDE_NEWER", "UV_OFFLINE"}
IGNORED |= {"PIP_CONSTRAINT", "UV_CONSTRAINT", "UV_OVERRIDE"}
# A second source beside the mirror: the better version would win, wherever it came from.
SECOND = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"}
SECOND |= {"UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"}


class SettingError(Exception):
    """A setting is wrong; nothing was downloaded."""


class Setting(NamedTuple):
    """An address (empty: upstream) and the place that it comes from."""

    url: str
    origin: str


def say(text: str) -> None:
    """Print a line that can be found in a build log."""
    print(f"mirror: {text}", file=sys.stderr, flush=True)


# --- settings -----------------------------------------------------------------------------------------------


def pypi(env: Mapping[str, str]) -> Setting:
    """Return the package index to use. Raises SettingError when a setting is unsafe."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(DOCKER / "pip.conf", encoding="utf-8")
    except configparser.Error as error:
        raise SettingError(f"docker/pip.conf can't be read: {error}") from None
    conf = {key: value for section in parser.sections() for key, value in parser.items(section)}
    if extra := conf.keys() - {"index-url"}:
        raise SettingError(f"docker/pip.conf sets {', '.join(sorted(extra))}; allowed is index-url: remove the rest")
    return chosen(env, "PYPI_MIRROR", conf.get("index-url", ""), "docker/pip.conf")


def sources() -> str:
    """Return the text of debian.sources; empty when there is no such file."""
    path = DOCKER / "debian.sources"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def debian(env: Mapping[str, str]) -> Setting:
    """Return the Debian archive to use. Raises SettingError when a setting is unsafe."""
    if unsafe := re.search(r"^(Trusted|Allow-\S+): *yes", sources(), re.MULTILINE | re.IGNORECASE):
        raise SettingError(f"{unsafe[0]!r} in docker/debian.sources would switch apt's signature checks off; remove it")
    found = re.search(r"^URIs:\s*(\S+)", sources(), re.MULTILINE)
    return chosen(env, "DEBIAN_MIRROR", found[1] if found else "", "docker/debian.sources")


def chosen(env: Mapping[str, str], name: str, url: str, origin: str) -> Setting:
    """Return the address in the variable `name`, or else `url`, which is from the file `origin`."""
    return checked(Setting(env[name], name) if name in env else Setting(url, origin), env)


def checked(setting: Setting, env: Mapping[str, str]) -> Setting:
    """Return `setting`. Raises SettingError unless it is empty or a web address that is safe to use."""
    parts = urlsplit(setting.url)
    if parts.username or parts.password:
        raise SettingError(
            f"{setting.origin} holds credentials for {parts.hostname}, which would stay in the image's"
            " history: give them as the build secret 'netrc' instead"
        )
    if setting.url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise SettingError(f"{setting.origin} is {setting.url!r}; allowed: https://host/path, or nothing for upstream")
    if parts.scheme == "http" and credentials(parts.hostname or "", env):
        raise SettingError(f"{setting.url} is plain http: credentials (netrc) could be read on the way; use https")
    return setting


def option(env: Mapping[str, str], name: str, default: str, pattern: str, allowed: str = "") -> str:
    """Return a setting, `default` unless it is set. Raises SettingError when it does not have the form `pattern`."""
    value = env.get(name) or default
    if not re.fullmatch(pattern, value):
        raise SettingError(f"{name} is {value!r}; allowed: {allowed or pattern.replace('|', ' or ')}")
    return value


def fallback(env: Mapping[str, str]) -> bool:
    """Tell whether upstream may be asked when the mirror fails."""
    return option(env, "MIRROR_FALLBACK", "1", "1|0") == "1"


def patience(env: Mapping[str, str]) -> str:
    """Return how many seconds the mirror may be silent."""
    default = str(TIMEOUT if fallback(env) else TIMEOUT_ALONE)
    return option(env, "MIRROR_TIMEOUT", default, r"[1-9]\d{0,3}", "seconds, from 1 to 9999")


# --- secrets ------------------------------------------------------------------------------------------------


def credentials(host: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return user and password for `host`: from the build secret, or from what pip and uv read on a person's machine.

    Raises SettingError when the file can't be read.
    """
    secret = SECRETS / "netrc"
    path = secret if secret.exists() else Path(env.get("NETRC") or Path.home() / ".netrc")
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
    files = [path for path in (known, SECRETS / "ca") if path.exists()]
    (folder / "ca.pem").write_bytes(b"\n".join(path.read_bytes() for path in files))
    return folder / "ca.pem"


# --- running a tool -----------------------------------------------------------------------------------------


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


def asked(url: str) -> str:
    """Return who was asked for `url`: its address, and the proxy in between if there is one."""
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    proxy = proxies.get(parts.scheme or "https", proxies.get("all", ""))
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return url or "upstream"
    return f"{url or 'upstream'}, asked through the proxy {re.sub('//[^/]*@', '//', proxy)},"


def with_fallback(setting: Setting, download: Callable[[str], int], own: str = "") -> None:
    """Do `download` with the mirror; if it fails and may, again with upstream (""); or with `own`. Else end with 1."""
    urls = [setting.url, ""] if setting.url and fallback(os.environ) else [setting.url]
    for url in urls:
        if not download(url):
            return
        then = "giving up" if url == urls[-1] else "trying again on upstream"
        say(f"{asked(url or own)} failed: its message is above; {then}")
    if urls[-1]:
        say(f"nothing else may be asked (MIRROR_FALLBACK=0). The address is from {setting.origin}; see 'make doctor'")
    raise SystemExit(1)


# --- packages from PyPI -------------------------------------------------------------------------------------


@contextmanager
def environment(url: str, urls: list[str], own: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the environment that makes the tools use the index `url`; for upstream, `own` and the secrets.

    They get the credentials for the hosts of `urls`, and no others: no answer can send those anywhere.
    """
    env = {name: value for name, value in own.items() if name not in IGNORED}
    with tempfile.TemporaryDirectory() as folder:
        hosts = sorted({urlsplit(url).hostname or "" for url in urls})
        found = {host: pair for host in hosts if (pair := credentials(host, own))}
        lines = [f"machine {host} login {user} password {password}\n" for host, (user, password) in found.items()]
        (Path(folder) / "netrc").write_text("".join(lines), encoding="utf-8")
        env |= {"NETRC": f"{folder}/netrc", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_INSTALLER_METADATA": "1"}
        if bundle := ca_bundle(Path(folder), own):
            env |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(bundle))
        if url:
            env = {name: value for name, value in env.items() if name not in SECOND}
            env |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_HTTP_CONNECT_TIMEOUT": str(TIMEOUT)}
            env |= dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "POETRY_PYPI_MIRROR_URL"), url)
            env |= dict.fromkeys(("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT", "POETRY_REQUESTS_TIMEOUT"), patience(own))
            # Once, if upstream is tried next.
            env |= dict.fromkeys(("PIP_RETRIES", "UV_HTTP_RETRIES"), "0" if fallback(own) else "2")
            if url.startswith("http:"):
                env["PIP_TRUSTED_HOST"] = urlsplit(url).netloc
        yield env


def index(command: list[str]) -> None:
    """Run `command` with the package index set: that of the list of requirements that it names, or the usual one."""
    lists = [Path(word).read_text(encoding="utf-8") for word in command if re.search(r"requirements.*\.txt$", word)]
    named = re.findall(r"https?://[^\s#]+", "\n".join(lists))
    for url in named:
        checked(Setting(url, "pyproject.toml"), os.environ)
    own = named[0] if any(text.startswith(("--index-url ", "--no-index ")) for text in lists) else ""
    setting = Setting("", "pyproject.toml") if own else pypi(os.environ)

    def download(url: str) -> int:
        with environment(url, [url, *named], os.environ) as env:
            status, output = run(command, env)
        if status and WRONG_HASH.search(output):
            say(f"STOP: {url or own or 'upstream'} served a file with another hash than the locked one.")
            say("It is neither installed nor tried elsewhere. Find out first who changed the file, or the lock.")
            say("(pip before 25.1 says the same of a file that was cut short.)")
            say("To leave the mirror out meanwhile: PYPI_MIRROR= (a build argument, or in the environment of make)")
            raise SystemExit(3)
        return status

    with_fallback(setting, download, own)


# --- packages from Debian -----------------------------------------------------------------------------------


# What docker/debian.sources has in a project with a mirror.
DEFAULT_SOURCES = """Types: deb
URIs:
Suites: SUITE SUITE-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def write_sources(folder: Path, url: str) -> None:
    """Write apt's sources: main and updates from the mirror `url`, security as in the base image."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    text = re.sub(r"^URIs:.*$", f"URIs: {url}", sources() or DEFAULT_SOURCES, flags=re.MULTILINE)
    (folder / "mirror.sources").write_text(re.sub(r"\bSUITE\b", release, text), encoding="utf-8")
    own = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(BASE_SOURCES.glob("*.sources")))
    stanzas = [stanza for stanza in own.split("\n\n") if re.search(r"^Suites:.*-security", stanza, re.MULTILINE)]
    (folder / "security.sources").write_text("\n\n".join([*stanzas, ""]), encoding="utf-8")


def apt_get(folder: Path, url: str) -> list[str]:
    """Return `apt-get` with options: the secrets; for a mirror, a time limit and the sources in `folder`."""
    options = {"APT::Update::Error-Mode": "any"}
    if (SECRETS / "netrc").exists():
        options["Dir::Etc::netrc"] = str(SECRETS / "netrc")
    if (SECRETS / "ca").exists():
        options["Acquire::https::CAInfo"] = str(ca_bundle(folder, os.environ))
    if url:
        write_sources(folder, url)
        options |= {"Dir::Etc::SourceList": os.devnull, "Dir::Etc::SourceParts": str(folder), "Acquire::Retries": "0"}
        # apt waits four times: twice for each of two lists. That is meanwhile: 15 s as well.
        seconds = str(max(1, int(patience(os.environ)) * 3 // 4))
        options |= dict.fromkeys(("Acquire::http::Timeout", "Acquire::https::Timeout"), seconds)
    return ["apt-get", "-q", "-y", *(f"-o{key}={value}" for key, value in options.items())]


def apt(path: Path) -> None:
    """Install the Debian packages that the file `path` names; an empty list runs no apt at all."""
    names = [name for line in path.read_text(encoding="utf-8").splitlines() if (name := line.partition("#")[0].strip())]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    optional = option(env, "DEBIAN_SECURITY", "required", "required|optional") == "optional"

    def download(url: str) -> int:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)  # apt reads it as the user _apt
            command = apt_get(folder, url)
            status, _ = run([*command, "update"], env)
            if status and url and optional:
                (folder / "security.sources").unlink()
                status, _ = run([*command, "update"], env)
                if not status:
                    say("Debian's security suite can't be reached: packages come without its latest fixes")
            if not status:
                status, _ = run([*command, "install", "--no-install-recommends", *names], env)
        return status

    if names:
        say(f"installing what {path.name} names; DEBIAN_SECURITY=optional would do without Debian's security suite")
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
