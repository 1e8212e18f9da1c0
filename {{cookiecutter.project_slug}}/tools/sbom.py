"""Write the software bill of materials of an image (SBOM; CycloneDX 1.6, JSON): `make sbom`.

    python tools/sbom.py IMAGE FILE

cyclonedx-bom lists the Python packages with their licences and dependencies. This adds the components in the SBOMs
inside wheels (PEP 770: the crates of a Rust extension, shared libraries), the Debian packages that dpkg knows, and
Python itself, which the official images build from source. Everything is read from what the engine (docker, or the
program that DOCKER names) exports. The result is valid against CycloneDX's schema, and the same for the same image.

Exit status 1, with the reason, when a step fails. A wheel's SBOM that can't be read is named on stderr and left out.
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
from packaging.utils import canonicalize_name

DOCKER = os.environ.get("DOCKER", "docker")
# The files that describe packages; no path that leads out of the folder.
WANTED = re.compile(r"app/(?!.*\.\./).*\.dist-info/.*|usr/lib/os-release|var/lib/dpkg/status")
# The fields that are copied from a component of a wheel's SBOM.
KEPT = ("type", "group", "name", "version", "purl", "licenses", "hashes")


def run(*command: str) -> str:
    """Return the output of `command`; end when it fails, after its own error."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    except OSError as error:
        sys.exit(f"sbom: {command[0]} can't be run: {error}")
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
    """Return an SBOM of the Python packages, including the project."""
    places = sorted({str(path.parent) for path in folder.glob("app/**/*.dist-info")})
    # cyclonedx-bom asks an interpreter for its sys.path.
    interpreter = folder / "python"
    interpreter.write_text(f"#!/bin/sh\necho '{json.dumps(places)}'\n", encoding="utf-8")
    interpreter.chmod(0o755)
    tool = (sys.executable, "-m", "cyclonedx_py", "environment")
    return run(*tool, "--output-reproducible", "--spec-version", "1.6", str(interpreter))


def component(purl: str, name: str, version: str) -> dict[str, str]:
    """Return a component, which its package URL identifies."""
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def flat(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield components and those nested in them."""
    for part in components:
        yield part
        yield from flat(part.get("components", []))


def invalid(sbom: dict[str, Any]) -> str:
    """Return why `sbom` does not fit CycloneDX's schema; nothing if it does."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(sbom))
    return str(error).splitlines()[0] if error else ""


def built_in(text: str) -> list[dict[str, Any]]:
    """Return the components in the SBOM of a wheel; ValueError when they can't be read."""
    sbom = json.loads(text)
    if not isinstance(sbom, dict) or sbom.get("bomFormat") != "CycloneDX":
        raise ValueError("it is not CycloneDX in JSON")
    found = {
        part["purl"]: {key: part[key] for key in KEPT if key in part} | {"bom-ref": part["purl"]}
        for part in flat(sbom.get("components", []))
        if "purl" in part
    }
    if error := invalid({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": list(found.values())}):
        raise ValueError(f"it is not valid: {error}")
    return list(found.values())


def add_built_in(sbom: dict[str, Any], folder: Path) -> None:
    """Add the components of the wheels' SBOMs below `folder` to `sbom`, as dependencies of each wheel's package."""
    refs = {canonicalize_name(part["name"]): part["bom-ref"] for part in sbom["components"]}
    depends = {entry["ref"]: entry for entry in sbom["dependencies"]}
    added: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.glob("app/**/*.dist-info/sboms/**/*") if path.is_file()):
        try:
            parts = {part["purl"]: part for part in built_in(path.read_text(encoding="utf-8"))}
        except (ValueError, TypeError, AttributeError) as error:
            print(f"sbom: {path.relative_to(folder)} is left out: {error}", file=sys.stderr)
            continue
        wheel = next(parent.name for parent in path.parents if parent.suffix == ".dist-info")
        package = depends[refs[canonicalize_name(wheel.split("-")[0])]]
        package["dependsOn"] = sorted(parts.keys() | set(package.get("dependsOn", [])))
        added |= parts
    sbom["components"] += added.values()
    sbom["dependencies"] += [{"ref": purl} for purl in added]


def debian_packages(folder: Path) -> Iterator[dict[str, str]]:
    """Yield a component for each package that dpkg has installed in the image."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", (folder / "usr/lib/os-release").read_text(), re.MULTILINE)
    distro = f"debian-{release[1]}" if release else "debian"
    for stanza in (folder / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            # A package URL keeps colons and encodes plus signs. Advisories name the source package, `upstream`, here
            # with its version if that differs.
            qualifiers = f"arch={fields['Architecture']}&distro={distro}"
            if source := re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", "")):
                upstream = source[1] + (f"@{source[2]}" if source[2] else "")
                qualifiers += f"&upstream={quote(upstream, safe=':')}"
            yield component(f"pkg:deb/debian/{quote(name)}@{quote(version, safe=':')}?{qualifiers}", name, version)


def main(image: str, target: str) -> None:
    """Write the SBOM of `image` to the file `target`."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract(image, folder)
        sbom = json.loads(python_packages(folder))
        described = next((part for part in sbom["components"] if part["name"] == project), None)
        if not described:
            sys.exit(f"sbom: {image} does not contain {project}, which pyproject.toml names: run `make image`")
        add_built_in(sbom, folder)
        sbom["components"] += debian_packages(folder)
    # The SBOM describes the project; everything else is a component of it.
    sbom["components"].remove(described)
    sbom["metadata"]["component"] = {**described, "type": "application"}
    # push.py attaches it to this image only.
    identifier = run(DOCKER, "image", "inspect", "--format", "{{.Id}}", image).strip()
    sbom["metadata"].setdefault("properties", []).append({"name": "image", "value": identifier})
    version = run(DOCKER, "run", "--rm", "--entrypoint", "/app/.venv/bin/python", image, "-V").split()[1]
    # Scanners look up Python's own vulnerabilities by this name.
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    sbom["components"].append({**component(f"pkg:generic/python@{version}", "python", version), "cpe": cpe})
    if error := invalid(sbom):
        sys.exit(f"sbom: not valid: {error}")
    Path(target).write_text(json.dumps(sbom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{target}: {len(sbom['components'])} components")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
