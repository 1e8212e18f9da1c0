"""Run a download through the package mirror, or from upstream when the mirror can't serve it.

    python mirror.py index COMMAND ...   run COMMAND (pip, uv or Poetry) with the package index set for all three
    python mirror.py apt LIST            apt-get install the Debian packages that the file LIST names
    python mirror.py show                print what would be used, and why

Where the addresses come from, first match first; empty means upstream:
    PyPI     PYPI_MIRROR, else `index-url` in pip.conf beside this file
    Debian   DEBIAN_MIRROR, else `URIs` in debian.sources beside this file
MIRROR_FALLBACK=0 means the mirror or nothing (closed networks). The build secrets `netrc` (credentials) and `ca` (a private
certificate authority) are read from /run/secrets.

Whatever serves a file, a hash (PyPI) or a signature (Debian) decides whether it is accepted. A wrong hash ends the run at
once: that is an incident, not an outage. Exit status: 0 done, 1 the download failed, 2 a setting is wrong, 3 a wrong hash.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
SECRETS = Path("/run/secrets")
BASE_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")

# Seconds without a byte before a mirror counts as dead. A build downloads in three steps at most, and may lose 30 s in all.
TIMEOUT = 8
WRONG_HASH = re.compile(r"hash(es)? mismatch|do not match the hashes", re.IGNORECASE)
HASHES = re.compile(r"(?:expected|computed|got)?:?\s*\b(?:sha256[:\s]+)?[0-9a-f]{64}", re.IGNORECASE)
ADVICE = {
    r"(\S+) has no (?:usable |binary )?wheels?|no wheels? with a matching|building from source is disabled": (
        "a package has no wheel for this Python: take a version that has one, or answer build_image=full "
        "(an image with a compiler; see README.md)"
    ),
    r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate": (
        "Debian has no package of that name in this release: correct docker/apt-build.txt or docker/apt-runtime.txt"
    ),
}


class Setting(NamedTuple):
    """An address (empty: upstream) and the place that it comes from."""

    url: str
    origin: str


def say(text: str) -> None:
    """Print a line that can be found in a build log."""
    print(f"mirror: {text}", file=sys.stderr, flush=True)


def refuse(text: str) -> NoReturn:
    """End with status 2: a setting is wrong and no download was tried."""
    say(text)
    raise SystemExit(2)


def pip_conf() -> dict[str, str]:
    """Return the settings in pip.conf; empty when there is no such file."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(HERE / "pip.conf", encoding="utf-8")
    return {key: value for section in parser.sections() for key, value in parser.items(section)}


def sources() -> str:
    """Return debian.sources without its comments; empty when there is no such file."""
    path = HERE / "debian.sources"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return "".join(line for line in lines if not line.startswith("#"))


def pypi(env: Mapping[str, str]) -> Setting:
    """Return the package index to use. Ends with status 2 when a setting is unsafe."""
    if "PYPI_MIRROR" in env:
        setting = Setting(env["PYPI_MIRROR"], "PYPI_MIRROR")
    else:
        setting = Setting(pip_conf().get("index-url", ""), "docker/pip.conf")
    checked(setting)
    if setting.url.startswith("https:"):
        trusted = {"trusted-host in docker/pip.conf": pip_conf().get("trusted-host")}
        trusted |= {name: env.get(name) for name in ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST")}
        for name in (name for name, value in trusted.items() if value):
            refuse(
                f"{name} would switch certificate checks off for {setting.url}; remove it"
                " (a private certificate authority comes in as the build secret 'ca')"
            )
    return setting


def debian(env: Mapping[str, str]) -> Setting:
    """Return the Debian archive to use. Ends with status 2 when it can't be one."""
    if "DEBIAN_MIRROR" in env:
        return checked(Setting(env["DEBIAN_MIRROR"], "DEBIAN_MIRROR"))
    found = re.search(r"^URIs:\s*(\S+)", sources(), re.MULTILINE)
    return checked(Setting(found[1] if found else "", "docker/debian.sources"))


def checked(setting: Setting) -> Setting:
    """Return `setting`; end with status 2 unless it is empty or a web address that is safe to use."""
    url = setting.url
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        refuse(f"{setting.origin} is {url!r}; a web address is needed (https://host/path), or nothing for upstream")
    if parts.username or parts.password:
        refuse(
            f"{setting.origin} holds credentials for {parts.hostname}, which would stay in the image's history:"
            " give them as the build secret 'netrc' instead"
        )
    if parts.scheme == "http":
        netrc = SECRETS / "netrc"
        if netrc.exists() and re.search(rf"\bmachine\s+{re.escape(parts.hostname or '')}\b", netrc.read_text()):
            refuse(f"{url} is plain http: credentials would be readable on the way; use https")
        say(f"{url} is plain http: hashes and signatures decide what is accepted")
    return setting


def fallback(env: Mapping[str, str]) -> bool:
    """Tell whether upstream may be asked when the mirror fails. Ends with status 2 on a value that is neither 0 nor 1."""
    value = env.get("MIRROR_FALLBACK", "1")
    if value not in ("0", "1"):
        refuse(f"MIRROR_FALLBACK is {value!r}; allowed are 1 (ask upstream when the mirror fails) and 0 (never)")
    return value == "1"


@contextmanager
def environment(url: str, *, retries: int) -> Iterator[dict[str, str]]:
    """Yield the environment for pip, uv and Poetry to use the index `url`; for upstream, the caller's own plus the secrets."""
    env = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        if (SECRETS / "netrc").exists():
            env["NETRC"] = str(SECRETS / "netrc")
        if (SECRETS / "ca").exists():
            bundle = Path(folder) / "ca.pem"
            bundle.write_bytes(SYSTEM_CA.read_bytes() + b"\n" + (SECRETS / "ca").read_bytes())
            env |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(bundle))
        if url:
            # Never a second index beside the mirror: the better version would win, wherever it came from.
            for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
                env.pop(name, None)
            env |= {
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_INDEX_URL": url,
                "UV_DEFAULT_INDEX": url,
                "POETRY_PYPI_MIRROR_URL": url,
                "PIP_TIMEOUT": str(TIMEOUT),
                "PIP_DEFAULT_TIMEOUT": str(TIMEOUT),
                "UV_HTTP_TIMEOUT": str(TIMEOUT),
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
    """Return the line of a failed tool's output that says most: the last that names an error or a cause."""
    lines = [line.strip(" │╰─▶×\t") for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(?i)(error|caused by|e: |err:|because|failed)", line)]
    return (telling or lines or ["it said nothing"])[-1]


def incident(url: str, output: str) -> NoReturn:
    """Report a file whose hash is not the one in the lock, and end with status 3."""
    say("STOP: a file does not have the hash that it was locked with. Nothing was installed, and nothing is tried elsewhere.")
    say(f"  served by  {url or 'upstream'}")
    start = WRONG_HASH.search(output)
    for line in output[start.start() if start else 0 :].splitlines()[:8]:
        if HASHES.search(line) or "==" in line or "hash" in line.lower():
            say(f"  {line.strip()}")
    say("Either somebody changed the file or the lock is wrong. Find out which before you build again;")
    say("to leave the mirror out meanwhile: --build-arg PYPI_MIRROR=")
    raise SystemExit(3)


def failed(output: str) -> NoReturn:
    """Say what to do about a download that no source could serve, and end with status 1."""
    for pattern, advice in ADVICE.items():
        if found := re.search(pattern, output):
            say(f"{found[0]}: {advice}")
    raise SystemExit(1)


def index(command: list[str]) -> None:
    """Run `command` with the package index set: through the mirror, then, if that fails and may, whole again on upstream."""
    setting, may_fall_back = pypi(os.environ), fallback(os.environ)
    urls = [setting.url, ""] if setting.url and may_fall_back else [setting.url]
    output = ""
    for url in urls:
        with environment(url, retries=0 if len(urls) > 1 else 1) as env:
            status, output = run(command, env)
        if status == 0:
            return
        if WRONG_HASH.search(output):
            incident(url, output)
        report(url or "upstream", output, again=url != urls[-1])
    failed(output)


def report(source: str, output: str, *, again: bool) -> None:
    """Say in one line that `source` failed, why, and what comes next."""
    then = "trying again on upstream" if again else "nothing else may be asked"
    if not again and os.environ.get("MIRROR_FALLBACK") == "0":
        then += " (MIRROR_FALLBACK=0)"
    say(f"{source} failed ({reason(output)}); {then}")


def packages(path: Path) -> list[str]:
    """Return the Debian package names in a list: one a line, `#` starts a comment."""
    return [name for line in path.read_text(encoding="utf-8").splitlines() if (name := line.partition("#")[0].strip())]


def stanzas(security: bool) -> str:
    """Return the base image's own apt sources: its security suite, or everything else."""
    found = BASE_SOURCES.read_text(encoding="utf-8").split("\n\n")
    return "\n\n".join(s for s in found if bool(re.search(r"^Suites:.*-security", s, re.MULTILINE)) == security)


def suite() -> str:
    """Return the code name of the Debian release that this runs on."""
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else refuse("/etc/os-release names no Debian release")


def apt_options(folder: Path) -> list[str]:
    """Return apt's options: the sources in `folder` and nothing else, the secrets, and our time limits."""
    options = {
        "Dir::Etc::SourceList": os.devnull,
        "Dir::Etc::SourceParts": str(folder),
        "Acquire::Retries": "0",
        "Acquire::http::Timeout": str(TIMEOUT),
        "Acquire::https::Timeout": str(TIMEOUT),
    }
    if (SECRETS / "netrc").exists():
        options["Dir::Etc::netrc"] = str(SECRETS / "netrc")
    if (SECRETS / "ca").exists():
        options["Acquire::https::CAInfo"] = str(folder / "ca.pem")
        (folder / "ca.pem").write_bytes(SYSTEM_CA.read_bytes() + b"\n" + (SECRETS / "ca").read_bytes())
    return [argument for key, value in options.items() for argument in ("-o", f"{key}={value}")]


def apt_from(url: str, names: list[str]) -> tuple[int, str]:
    """Install Debian packages from the archive `url` (empty: the base image's own); return apt's status and output.

    The base image's sources stay as they are. Debian's security suite always comes from Debian: no mirror carries it in time.
    """
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt reads it as the user _apt
        main = (sources() if url else "") or stanzas(security=False)
        if url:
            main = re.sub(r"^URIs:.*$", f"URIs: {url}", main, flags=re.MULTILINE)
        (folder / "main.sources").write_text(main.replace("SUITE", suite()), encoding="utf-8")
        apt = ["apt-get", *apt_options(folder), "-q", "-y"]
        status, output = run([*apt, "-o", "APT::Update::Error-Mode=any", "update"], env)
        if status:
            return status, output
        if security := stanzas(security=True):
            (folder / "security.sources").write_text(security + "\n", encoding="utf-8")
            if run([*apt, "-o", "APT::Update::Error-Mode=any", "update"], env)[0]:
                (folder / "security.sources").unlink()
                say("Debian's security suite can't be reached: packages come without its latest fixes")
                run([*apt, "update"], env)
        return run([*apt, "install", "--no-install-recommends", *names], env)


def apt(path: Path) -> None:
    """Install the Debian packages that the file `path` names; an empty list runs no apt at all."""
    names = packages(path)
    if not names:
        return
    setting, may_fall_back = debian(os.environ), fallback(os.environ)
    urls = [setting.url, ""] if setting.url and may_fall_back else [setting.url]
    output = ""
    for url in urls:
        status, output = apt_from(url, names)
        if status == 0:
            return
        report(url or "upstream", output, again=url != urls[-1])
    failed(output)


def show() -> None:
    """Print the package index and the Debian archive that would be used, and the place that says so."""
    for name, setting in {"PyPI": pypi(os.environ), "Debian": debian(os.environ)}.items():
        print(f"{name:7} {setting.url or 'upstream'}  ({setting.origin})")


def main(arguments: list[str]) -> None:
    """Do what the command line says; print how to use this when it says nothing known."""
    match arguments:
        case ["index", _, *_]:
            index(arguments[1:])
        case ["apt", path]:
            apt(Path(path))
        case ["show"]:
            show()
        case _:
            print(__doc__, file=sys.stderr)
            raise SystemExit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
