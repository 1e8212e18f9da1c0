"""Look up the known vulnerabilities of what is in an image: `make audit`.

    python tools/audit.py BILL

BILL is the bill of materials that `make sbom` wrote. Python packages, the crates that wheels were built from, Debian
packages (by their source package) and Python itself are looked up in the OSV service at OSV_URL, which gets their names
and versions: the public one, or an internal one that answers `/v1/querybatch` and `/v1/vulns/ID` as it does
(https://google.github.io/osv.dev/api/). Exceptions stand in pyproject.toml, each with its reason and its last day:

    [tool.image-audit.except]
    CVE-2026-12345 = { reason = "the service parses no XML", until = 2026-12-31 }

The table tells of each vulnerability

    FOUND       in which package, and what to do
    EXCEPTED    it is there, and pyproject.toml says why that is all right for now
    no fix yet  Debian or Python has none for this release so far, or it is a note: that a crate has no maintainer, say

Exit status: 0 nothing is FOUND, 1 something is, 2 it can't be told. The service has to know an old vulnerability of
each kind of package: one that knows nothing of a kind clears no package of it.
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
from urllib.parse import parse_qs, quote, unquote, urlsplit

PATIENCE = 60.0  # seconds for an answer
ATTEMPTS = 3
BATCH = 1000  # packages that the service takes at once
ROUNDS = 200  # more batches and pages than that no image needs
# The number of a Debian release, by which the service knows it.
DEBIAN = {"bookworm": 12, "trixie": 13, "forky": 14, "duke": 15}
# A package of each kind, and a version with vulnerabilities that have been known for years.
KNOWN_BAD = {
    "PyPI": ("jinja2", "2.4.1"),
    "crates.io": ("time", "0.1.43"),
    "Debian": ("xz-utils", "5.0.0-1"),
    "Bitnami": ("python", "3.6.0"),
}
# Kinds that nobody but their distributor can mend: what has no fix yet is said, and fails nothing.
ONLY_BY_UPDATE = ("Debian", "Bitnami")


class Package(NamedTuple):
    """A package as the service knows it."""

    ecosystem: str
    name: str
    version: str

    @property
    def kind(self) -> str:
        """The ecosystem without the number of a release."""
        return self.ecosystem.partition(":")[0]


class Finding(NamedTuple):
    """A vulnerability of a package: all names that it has, what it is, where it is fixed; and whether it is a note."""

    package: Package
    names: frozenset[str]
    label: str
    summary: str
    fixed: str
    is_note: bool


class Reason(NamedTuple):
    """Why a vulnerability may be there, and until when."""

    reason: str
    until: date


def impossible(reason: str) -> NoReturn:
    """End with status 2 and the reason."""
    print(f"audit: {reason}", file=sys.stderr)
    sys.exit(2)


def normal(name: str) -> str:
    """Return the normal form of a Python package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def identified(purl: str) -> Package | None:
    """Return the package that a package URL of the bill means to the service; None when it knows no such kind."""
    form = re.match(r"pkg:(pypi|cargo|generic/python|deb/debian)(?:/([^@]+))?@([^?#]+)", purl)
    if not form:
        return None
    kind, name, version = form[1], unquote(form[2] or "python"), unquote(form[3])
    if kind == "pypi":
        return Package("PyPI", normal(name), version)
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


def read(bill: dict[str, Any]) -> tuple[dict[Package, set[str]], list[str]]:
    """Return the packages of a bill, each with the names of what brings it along; and what is not asked for."""
    names = {part["bom-ref"]: part["name"] for part in bill["components"]}
    brought_by: dict[str, set[str]] = {}
    for entry in bill.get("dependencies", []):
        for ref in entry.get("dependsOn", []):
            if entry["ref"] in names:
                brought_by.setdefault(ref, set()).add(names[entry["ref"]])
    packages: dict[Package, set[str]] = {}
    unasked = []
    for part in bill["components"]:
        if package := identified(part.get("purl", "")):
            packages.setdefault(package, set()).update(brought_by.get(part["bom-ref"], ()))
        else:
            unasked.append(part.get("purl", part["name"]))
    return packages, unasked


def exceptions() -> dict[str, Reason]:
    """Return the exceptions of pyproject.toml."""
    tool = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
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
    """Return the answer to `request`, if it comes in time as a whole."""
    end = time.monotonic() + PATIENCE
    content = b""
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - main() has looked at the scheme
        while part := answer.read1(1 << 16):
            content += part
            if time.monotonic() > end:
                raise TimeoutError(f"no whole answer within {PATIENCE:.0f} s")
    return content


def ask(url: str, body: object = None) -> dict[str, Any]:
    """Return the JSON object with which the service answers; end when it does not."""
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
        except ValueError:
            trouble = "the answer is no JSON"
        except (OSError, HTTPException) as error:
            trouble = str(error) or type(error).__name__
        else:
            if isinstance(answer, dict):
                return answer
            trouble = "the answer is no object"
    impossible(f"{url}: {trouble}\nNothing is cleared. OSV_URL names another service.")


def ids(service: str, packages: Iterable[Package]) -> dict[Package, set[str]]:
    """Return the ids of the vulnerabilities that the service knows of each package, from all pages."""
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
    """End when the service found nothing in a package that is known to be bad."""
    for package in known:
        if not found[package]:
            impossible(
                f"the service knows no vulnerability of {package.name} {package.version} ({package.ecosystem}), "
                f"which has some: it clears no {package.kind} package"
            )


def findings(record: dict[str, Any], package: Package) -> Iterator[Finding]:
    """Yield what a record of the service says of `package`; nothing when it was withdrawn."""
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
    return about.get("ecosystem") == package.ecosystem and normal(about["name"]) == normal(package.name)


def look_up(service: str, packages: Iterable[Package]) -> list[Finding]:
    """Return the vulnerabilities that the service knows of `packages`, one for each name that they are known by."""
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


def remedy(finding: Finding, brought_by: set[str]) -> str:
    """Return what to do about a vulnerability."""
    package = finding.package
    where = f"fixed in {finding.fixed}; " if finding.fixed else "no fixed version is known; "
    if package.kind == "PyPI":
        return f"{where}.tools/bin/poetry update --lock {package.name}"
    if package.kind == "crates.io":
        return f"{where}a newer version of {', '.join(sorted(brought_by)) or 'the wheel'}, which was built from it"
    return f"{where}build on the newest base image: make image BUILD_FLAGS=--pull"


def report(found: list[Finding], packages: dict[Package, set[str]], excepted: dict[str, Reason]) -> int:
    """Print the table; return how many vulnerabilities stand against the image."""
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


def main(bill: Path, service: str) -> int:
    """Audit what `bill` lists against the service; return 1 if something is found, else 0."""
    if urlsplit(service).scheme not in ("http", "https"):
        impossible(f"OSV_URL is {service!r}; wanted: https://...")
    excepted = exceptions()
    try:
        packages, unasked = read(json.loads(bill.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        impossible(f"{bill} can't be read: {error!r}")
    if not packages:
        impossible(f"{bill} names no package")
    against = report(look_up(service.rstrip("/"), packages), packages, excepted)
    if unasked:
        print(f"Not looked up, as the service knows no such kind: {', '.join(sorted(unasked))}")
    print(f"{service}: {len(packages)} packages looked up, {against} vulnerabilities found")
    return 1 if against else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), os.environ["OSV_URL"]))
