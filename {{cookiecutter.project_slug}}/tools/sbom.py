"""Write a software bill of materials (CycloneDX 1.6, JSON) of what is in an image: `make sbom`.

    python sbom.py IMAGE FILE

cyclonedx-bom lists the Python packages with their licences and dependencies; this adds what wheels say that
they were built from (the crates of a Rust extension, a shared library: PEP 770), the Debian packages that dpkg
knows, and Python itself, which the official images build from source. All is read from what the engine (docker,
or what DOCKER names) exports. The result is valid against CycloneDX's schema and, without time or random number,
the same for the same image. It belongs beside the image, not into it. Exit status 1, with the reason, when a step
fails; a wheel's own bill that can't be read is named on stderr, and left out.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

DOCKER = os.environ.get("DOCKER", "docker")
# What describes packages; no name that leads out of a folder.
WANTED = re.compile(r"app/(?!.*\.\./).*\.dist-info/.*|usr/lib/os-release|var/lib/dpkg/status")
# What is taken over from a component of a wheel's own bill.
KEPT = ("type", "group", "name", "version", "purl", "licenses", "hashes")


def run(*command: str) -> str:
    """Return what `command` prints; end with its own error when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"sbom: {' '.join(command)} failed")
    return done.stdout


def extract(image: str, folder: Path) -> None:
    """Write the files of `image` that describe its packages into `folder`."""
    container = run(DOCKER, "create", image).strip()
    try:
        with (
            subprocess.Popen([DOCKER, "export", container], stdout=subprocess.PIPE) as export,  # noqa: S603
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            for entry in archive:
                if WANTED.fullmatch(entry.name) and entry.isreg() and (content := archive.extractfile(entry)):
                    target = folder / entry.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
    finally:
        run(DOCKER, "rm", "--force", container)


def python_packages(folder: Path) -> str:
    """Return a bill of materials of the Python packages, the project among them."""
    places = sorted({str(path.parent) for path in folder.glob("app/**/*.dist-info")})
    # cyclonedx-bom asks an interpreter for its path.
    interpreter = folder / "python"
    interpreter.write_text(f"#!/bin/sh\necho '{json.dumps(places)}'\n", encoding="utf-8")
    interpreter.chmod(0o755)
    tool = (sys.executable, "-m", "cyclonedx_py", "environment")
    return run(*tool, "--output-reproducible", "--spec-version", "1.6", str(interpreter))


def component(purl: str, name: str, version: str) -> dict[str, str]:
    """Return a component of the bill, which its package URL identifies."""
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def normal(name: str) -> str:
    """Return the normal form of a Python package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def flat(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield components and all that lies in them."""
    for part in components:
        yield part
        yield from flat(part.get("components", []))


def invalid(bill: dict[str, Any]) -> str:
    """Return what CycloneDX's schema has against `bill`; nothing when it is valid."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
    return str(error).splitlines()[0] if error else ""


def built_in(text: str) -> list[dict[str, Any]]:
    """Return the components that a wheel's own bill names; ValueError when they can't be read."""
    bill = json.loads(text)
    if not isinstance(bill, dict) or bill.get("bomFormat") != "CycloneDX":
        raise ValueError("it is not CycloneDX in JSON")
    found = {
        part["purl"]: {key: part[key] for key in KEPT if key in part} | {"bom-ref": part["purl"]}
        for part in flat(bill.get("components", []))
        if "purl" in part
    }
    if error := invalid({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": list(found.values())}):
        raise ValueError(f"it is not valid: {error}")
    return list(found.values())


def add_built_in(bill: dict[str, Any], folder: Path) -> None:
    """Add what the wheels' own bills below `folder` name to `bill`, as dependencies of each wheel's package."""
    refs = {normal(part["name"]): part["bom-ref"] for part in bill["components"]}
    depends = {entry["ref"]: entry for entry in bill["dependencies"]}
    added: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.glob("app/**/*.dist-info/sboms/**/*") if path.is_file()):
        try:
            parts = {part["purl"]: part for part in built_in(path.read_text(encoding="utf-8"))}
        except (ValueError, TypeError, AttributeError) as error:
            print(f"sbom: {path.relative_to(folder)} is left out: {error}", file=sys.stderr)
            continue
        wheel = next(parent.name for parent in path.parents if parent.suffix == ".dist-info")
        package = depends[refs[normal(wheel.split("-")[0])]]
        package["dependsOn"] = sorted(parts.keys() | set(package.get("dependsOn", [])))
        added |= parts
    bill["components"] += added.values()
    bill["dependencies"] += [{"ref": purl} for purl in added]


def debian_packages(folder: Path) -> Iterator[dict[str, str]]:
    """Yield a component for each package that dpkg has installed in the image."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", (folder / "usr/lib/os-release").read_text(), re.MULTILINE)
    distro = f"debian-{release[1]}" if release else "debian"
    for stanza in (folder / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            # A package URL keeps colons, and encodes plus signs. Advisories go by the source package, `upstream`: its
            # version stands there when it is another one.
            qualifiers = f"arch={fields['Architecture']}&distro={distro}"
            if source := re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", "")):
                upstream = source[1] + (f"@{source[2]}" if source[2] else "")
                qualifiers += f"&upstream={quote(upstream, safe=':')}"
            yield component(f"pkg:deb/debian/{quote(name)}@{quote(version, safe=':')}?{qualifiers}", name, version)


def main(image: str, target: str) -> None:
    """Write the bill of materials of `image` to the file `target`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract(image, folder)
        bill = json.loads(python_packages(folder))
        add_built_in(bill, folder)
        bill["components"] += debian_packages(folder)
    # What is described is the project, with all else as its parts.
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    described = next(part for part in bill["components"] if part["name"] == project)
    bill["components"].remove(described)
    bill["metadata"]["component"] = {**described, "type": "application"}
    # So that nobody takes it for the bill of another image.
    identifier = run(DOCKER, "image", "inspect", "--format", "{{.Id}}", image).strip()
    bill["metadata"].setdefault("properties", []).append({"name": "image", "value": identifier})
    version = run(DOCKER, "run", "--rm", "--entrypoint", "/app/.venv/bin/python", image, "-V").split()[1]
    # Scanners know Python's own faults by this name.
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    bill["components"].append({**component(f"pkg:generic/python@{version}", "python", version), "cpe": cpe})
    if error := invalid(bill):
        sys.exit(f"sbom: not valid: {error}")
    Path(target).write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{target}: {len(bill['components'])} components")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
