"""Look up the known vulnerabilities of everything in an image: `make audit`.

    python tools/audit.py SBOM

SBOM is the file that `make sbom` wrote. Python packages, the crates that wheels were built from, Debian packages (by
their source package) and Python itself are looked up in the OSV service at OSV_URL, which receives their names and
versions: the public service, or an internal one with the same API, `/v1/querybatch` and `/v1/vulns/ID`
(https://google.github.io/osv.dev/api/). Exceptions are in pyproject.toml, each with its reason and its last day:

    [tool.image-audit.except]
    CVE-2026-12345 = { reason = "the service parses no XML", until = 2026-12-31 }

The table lists each vulnerability as

    FOUND       with its package, and what to do
    EXCEPTED    with the reason in pyproject.toml
    no fix yet  if Debian or Python has no fix for this release, or if it is only a note, such as "unmaintained"

Exit status: 0 nothing FOUND, 1 something FOUND, 2 no answer that can be trusted. The service must also report an old
vulnerability of a known bad package of each kind: if it does not, it has no data of that kind, and its silence proves
nothing.
"""

import json
import os
import re
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, unquote

from packaging.utils import canonicalize_name

PATIENCE = 60.0  # seconds for an answer
ATTEMPTS = 3
BATCH = 1000  # packages that the service takes in one request
ROUNDS = 200  # batches and pages, more than any image needs
# Debian releases by number, as the service names them.
DEBIAN = {"bookworm": 12, "trixie": 13, "forky": 14, "duke": 15}
# For each kind a package and version whose vulnerabilities have been known for years.
KNOWN_BAD = {
    "PyPI": ("jinja2", "2.4.1"),
    "crates.io": ("time", "0.1.43"),
    "Debian": ("xz-utils", "5.0.0-1"),
    "Bitnami": ("python", "3.6.0"),
}
# Kinds that only their distributor can fix: what has no fix yet is listed, and fails nothing.
ONLY_BY_UPDATE = ("Debian", "Bitnami")


class Package(NamedTuple):
    """A package under the service's name for it."""

    ecosystem: str
    name: str
    version: str

    @property
    def kind(self) -> str:
        """The ecosystem without the number of its release."""
        return self.ecosystem.partition(":")[0]


class Finding(NamedTuple):
    """A vulnerability of a package."""

    package: Package
    names: frozenset[str]  # its id and all aliases
    label: str  # its CVE number, or else its id
    summary: str
    fixed: str  # the versions that fix it
    is_note: bool  # listed, but no failure


class Reason(NamedTuple):
    """Why a vulnerability is accepted, and until when."""

    reason: str
    until: date


def impossible(reason: str) -> NoReturn:
    """End with status 2 and the reason."""
    print(f"audit: {reason}", file=sys.stderr)
    sys.exit(2)


def identified(purl: str) -> Package | None:
    """Return the package that a package URL stands for; None if the service does not know its kind."""
    form = re.match(r"pkg:(pypi|cargo|generic/python|deb/debian)(?:/([^@]+))?@([^?#]+)", purl)
    if not form:
        return None
    kind, name, version = form[1], unquote(form[2] or "python"), unquote(form[3])
    if kind == "pypi":
        return Package("PyPI", canonicalize_name(name), version)
    if kind == "cargo":
        return Package("crates.io", name, version)
    if kind == "generic/python":
        return Package("Bitnami", "python", version)
    qualifiers = parse_qs(purl.partition("?")[2].replace("+", "%2B"))
    source, _, source_version = qualifiers.get("upstream", [name])[0].partition("@")
    codename = qualifiers.get("distro", [""])[0].removeprefix("debian-")
    if codename not in DEBIAN:
        impossible(f"Debian {codename or '(no release)'} has no number in tools/audit.py, unlike {', '.join(DEBIAN)}")
    return Package(f"Debian:{DEBIAN[codename]}", source, source_version or version)


def read(sbom: dict[str, Any]) -> tuple[dict[Package, set[str]], list[str]]:
    """Return the packages of an SBOM, each with the names of those that need it; and the components left out."""
    names = {part["bom-ref"]: part["name"] for part in sbom["components"]}
    needed_by: dict[str, set[str]] = {}
    for entry in sbom.get("dependencies", []):
        for ref in entry.get("dependsOn", []):
            if entry["ref"] in names:
                needed_by.setdefault(ref, set()).add(names[entry["ref"]])
    packages: dict[Package, set[str]] = {}
    left_out = []
    for part in sbom["components"]:
        if package := identified(part.get("purl", "")):
            packages.setdefault(package, set()).update(needed_by.get(part["bom-ref"], ()))
        else:
            left_out.append(part.get("purl", part["name"]))
    return packages, left_out


def exceptions() -> dict[str, Reason]:
    """Return the exceptions in pyproject.toml."""
    try:
        tool = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        impossible(f"pyproject.toml can't be read: {error}")
    found = {}
    for name, given in tool.get("image-audit", {}).get("except", {}).items():
        try:
            found[name] = Reason(**given)
            is_right = found[name].reason.strip() != "" and type(found[name].until) is date
        except (AttributeError, TypeError):
            is_right = False
        if not is_right:
            impossible(
                f"pyproject.toml, [tool.image-audit.except]: {name} needs a reason and a last day, for example\n"
                f'    {name} = {{ reason = "the service parses no XML", until = 2026-12-31 }}'
            )
    return found


def fetch(request: urllib.request.Request) -> bytes:
    """Return the answer to `request`; TimeoutError if it is not complete in time."""
    end = time.monotonic() + PATIENCE
    content = b""
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - main() has looked at the scheme
        while part := answer.read1(1 << 16):
            content += part
            if time.monotonic() > end:
                raise TimeoutError(f"no whole answer within {PATIENCE:.0f} s")
    return content


def ask(url: str, body: object = None) -> dict[str, Any]:
    """Return the JSON object that the service answers; end if it answers nothing of the kind."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - as above
    trouble = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        try:
            answer = json.loads(fetch(request))
        except HTTPError as error:
            error.close()
            trouble = str(error)
            if error.code < 500 and error.code != 429:
                break
        except (json.JSONDecodeError, UnicodeDecodeError):
            trouble = "the answer is no JSON"
        except (OSError, HTTPException, ValueError) as error:
            trouble = str(error) or type(error).__name__
        else:
            if isinstance(answer, dict):
                return answer
            trouble = "the answer is no object"
    impossible(f"{url}: {trouble}\nNothing is cleared. OSV_URL names another service.")


def ids(service: str, packages: Iterable[Package]) -> dict[Package, set[str]]:
    """Return the ids of the vulnerabilities of each package, from all pages of the service's answer."""
    found: dict[Package, set[str]] = {package: set() for package in packages}
    waiting = [(package, "") for package in found]
    for _ in range(ROUNDS):
        if not waiting:
            return found
        batch, waiting = waiting[:BATCH], waiting[BATCH:]
        queries = [
            {"package": {"ecosystem": package.ecosystem, "name": package.name}, "version": package.version}
            | ({"page_token": token} if token else {})
            for package, token in batch
        ]
        results = ask(f"{service}/v1/querybatch", {"queries": queries}).get("results")
        if not isinstance(results, list) or len(results) != len(batch):
            impossible(f"{service} was asked for {len(batch)} packages, and did not answer for each")
        for (package, _), result in zip(batch, results, strict=True):
            try:
                found[package].update(str(entry["id"]) for entry in result.get("vulns", []))
                if token := result.get("next_page_token"):
                    waiting.append((package, token))
            except (AttributeError, KeyError, TypeError):
                impossible(f"{service} answered for {package.name} with {json.dumps(result)[:200]}")
    impossible(f"{service} has no last page")


def refuse_ignorance(found: dict[Package, set[str]], known: Iterable[Package]) -> None:
    """End if the service found nothing for one of the packages that are known to be bad."""
    for package in known:
        if not found[package]:
            impossible(
                f"the service knows no vulnerability of {package.name} {package.version} ({package.ecosystem}), "
                f"which has some: it clears no {package.kind} package"
            )


def findings(record: dict[str, Any], package: Package) -> Iterator[Finding]:
    """Yield what a record of the service says about `package`; nothing if it was withdrawn."""
    if record.get("withdrawn"):
        return
    names = {record["id"], *record.get("aliases", ()), *record.get("upstream", ())}
    cves = [name for name in names if name.startswith("CVE-")]
    mine = [part for part in record.get("affected", []) if says(part, package)]
    fixed = {
        event["fixed"]
        for part in mine
        for bounds in part.get("ranges", [])
        if bounds.get("type") != "GIT"
        for event in bounds.get("events", [])
        if "fixed" in event
    }
    informational = any((part.get("database_specific") or {}).get("informational") for part in mine)
    yield Finding(
        package,
        frozenset(names),
        cves[0] if len(cves) == 1 else record["id"],
        str(record.get("summary") or record.get("details") or "").partition("\n")[0][:100],
        ", ".join(sorted(fixed)),
        informational or (package.kind in ONLY_BY_UPDATE and bool(mine) and not fixed),
    )


def says(part: dict[str, Any], package: Package) -> bool:
    """Tell whether a part of a record is about `package`."""
    about = part.get("package") or {}
    same_name = canonicalize_name(about.get("name", "")) == canonicalize_name(package.name)
    return about.get("ecosystem") == package.ecosystem and same_name


def look_up(service: str, packages: Iterable[Package]) -> list[Finding]:
    """Return the vulnerabilities of `packages`; records of the same vulnerability are one."""
    wanted = set(packages)
    bad = {Package(package.ecosystem, *KNOWN_BAD[package.kind]) for package in wanted}
    known = ids(service, sorted(wanted | bad))
    refuse_ignorance(known, sorted(bad))
    needed = sorted({name for package in wanted for name in known[package]})
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda name: ask(f"{service}/v1/vulns/{quote(name, safe='')}"), needed)
        records = dict(zip(needed, answers, strict=True))
    found: dict[tuple[Package, str], Finding] = {}
    for package in sorted(wanted):
        for name in sorted(known[package]):
            try:
                if records[name]["id"] != name:
                    raise ValueError(records[name]["id"])
                for finding in findings(records[name], package):
                    same = found.get((package, finding.label), finding)
                    found[package, finding.label] = finding._replace(
                        names=finding.names | same.names,
                        summary=same.summary or finding.summary,
                        fixed=same.fixed or finding.fixed,
                        is_note=same.is_note and finding.is_note,
                    )
            except (AttributeError, KeyError, TypeError, ValueError):
                impossible(f"{service} has a record of {name} that can't be read")
    return list(found.values())


def remedy(finding: Finding, needed_by: set[str]) -> str:
    """Return what to do about a vulnerability."""
    package = finding.package
    where = f"fixed in {finding.fixed}; " if finding.fixed else "no fixed version is known; "
    if package.kind == "PyPI":
        return f"{where}.tools/bin/poetry update --lock {package.name}"
    if package.kind == "crates.io":
        return f"{where}a newer version of {', '.join(sorted(needed_by)) or 'the wheel'}, which was built from it"
    return f"{where}build on the newest base image: make image BUILD_FLAGS=--pull"


def report(found: list[Finding], packages: dict[Package, set[str]], excepted: dict[str, Reason]) -> int:
    """Print the table; return how many vulnerabilities are FOUND."""
    today = date.today()
    against = 0
    used = set()
    notes: dict[Package, list[str]] = {}
    for finding in found:
        package = finding.package
        what = f"{finding.label}  {package.name} {package.version}  {finding.summary}".rstrip()
        names = sorted(finding.names & excepted.keys())
        used.update(names)
        if valid := [excepted[name] for name in names if excepted[name].until >= today]:
            print(f"EXCEPTED   {what}\n           until {valid[0].until}: {valid[0].reason}")
        elif finding.is_note:
            notes.setdefault(package, []).append(finding.label)
        else:
            against += 1
            print(f"FOUND      {what}\n           fix: {remedy(finding, packages[package])}")
    for package, labels in notes.items():
        print(f"no fix yet {package.name} {package.version}: {', '.join(labels)}")
    for name, exception in excepted.items():
        if exception.until < today:
            print(f"The exception for {name} in pyproject.toml was good until {exception.until}.")
        elif name not in used:
            print(f"The exception for {name} in pyproject.toml is no longer needed.")
    return against


def main(sbom: Path, service: str) -> int:
    """Look up everything in the file `sbom` in the service; return 1 if something is found, else 0."""
    if not service.startswith(("http://", "https://")):
        impossible(f"OSV_URL is {service!r}; wanted: an address such as https://osv.example.com")
    excepted = exceptions()
    try:
        packages, left_out = read(json.loads(sbom.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        impossible(f"{sbom} can't be read ({error!r}): `make sbom` writes it")
    if not packages:
        impossible(f"{sbom} names no package")
    against = report(look_up(service.rstrip("/"), packages), packages, excepted)
    if left_out:
        print(f"Not looked up, as the service knows no such kind: {', '.join(sorted(left_out))}")
    print(f"{service}: {len(packages)} packages looked up, {against} vulnerabilities found")
    return 1 if against else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        impossible("give one file, as in: python tools/audit.py sbom.cdx.json")
    sys.exit(main(Path(sys.argv[1]), os.environ.get("OSV_URL", "")))
