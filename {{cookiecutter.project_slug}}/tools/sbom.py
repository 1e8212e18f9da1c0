"""Write the software bill of materials of an image (SBOM; CycloneDX 1.6, JSON): `make sbom`.

    python tools/sbom.py IMAGE FILE

It lists the Python packages with their licences and dependencies, the components in the SBOMs inside wheels (PEP 770:
the crates of a Rust extension, shared libraries), the Debian packages that dpkg knows, and Python itself. DOCKER names
the engine's program. Exit status 1, with the reason, when a step fails. A wheel's SBOM that can't be read is left out.
"""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine import DOCKER, engine, need

WANTED = re.compile(r"app/.*\.dist-info/(METADATA|sboms/.+)|usr/lib/os-release|var/lib/dpkg/status")
Component = dict[str, Any]


def described(image: str) -> dict[str, str]:
    """Return the text of the files of `image` that describe its packages, by their paths."""
    container = engine("create", image).strip()
    files = {}
    try:
        with (
            subprocess.Popen([DOCKER, "export", container], stdout=subprocess.PIPE) as export,  # noqa: S603
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            for entry in archive:
                if WANTED.fullmatch(entry.name) and entry.isreg() and (content := archive.extractfile(entry)):
                    files[entry.name] = content.read().decode(errors="replace")
    finally:
        engine("rm", "--force", container)
    return files


def canonical(name: str) -> str:
    """Return the name of a Python package in its one form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def component(purl: str, name: str, version: str, licences: list[Component] | None = None) -> Component:
    """Return a component, which its package URL identifies."""
    found: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return found | ({"licenses": licences} if licences else {})


def python_package(metadata: Message) -> Component:
    """Return the component of a Python package."""
    name, version = str(metadata["Name"]), str(metadata["Version"])
    texts = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    texts = texts or (metadata["License"] or "").strip().splitlines()[:1]
    expression = metadata["License-Expression"]
    licences = [{"expression": expression}] if expression else [{"license": {"name": text}} for text in texts]
    return component(f"pkg:pypi/{canonical(name)}@{quote(version)}", name, version, licences)


def built_in(text: str) -> Iterator[Component]:
    """Yield the components in the SBOM of a wheel that have a package URL; ValueError if it can't be read."""
    waiting = [json.loads(text)]
    if waiting[0].get("bomFormat") != "CycloneDX":
        raise ValueError("it is not CycloneDX")
    while waiting:
        part = waiting.pop()
        waiting += part.get("components", [])
        if part.get("purl"):
            purl, name, version = wanted = part["purl"], part["name"], part["version"]
            licences = [entry for entry in part.get("licenses", []) if list(entry) == ["expression"]][:1]
            if not all(isinstance(value, str) for value in (*wanted, *(entry["expression"] for entry in licences))):
                raise ValueError(f"a component has {wanted} and {licences}")
            yield component(purl, name, version, licences)


def python_packages(files: dict[str, str]) -> tuple[list[Component], dict[str, set[str]]]:
    """Return the Python packages with what wheels say that they contain; and on what each depends, by package URLs."""
    read = {name: Parser().parsestr(text) for name, text in files.items() if name.endswith(".dist-info/METADATA")}
    packages = {name.removesuffix("METADATA"): python_package(metadata) for name, metadata in sorted(read.items())}
    purls = {canonical(package["name"]): package["purl"] for package in packages.values()}
    depends: dict[str, set[str]] = {}
    for folder, package in packages.items():
        required = [line for line in read[f"{folder}METADATA"].get_all("Requires-Dist", []) if "extra ==" not in line]
        names = [canonical(re.match(r"[\w.-]*", line)[0]) for line in required]  # type: ignore[index]
        depends[package["purl"]] = {purls[name] for name in names if name in purls}
    contained: dict[str, Component] = {}
    for name in sorted(name for name in files if ".dist-info/sboms/" in name):
        try:
            parts = {part["purl"]: part for part in built_in(files[name]) if part["purl"] not in purls.values()}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            print(f"sbom: {name} is left out: {error!r}", file=sys.stderr)
            continue
        depends[packages[name.partition("sboms/")[0]]["purl"]] |= parts.keys()
        contained |= parts
    return [*packages.values(), *contained.values()], depends | {purl: set() for purl in contained}


def debian_packages(files: dict[str, str]) -> Iterator[Component]:
    """Yield a component for each package that dpkg has installed."""
    codename = re.search(r"^VERSION_CODENAME=(\w+)", files["usr/lib/os-release"], re.MULTILINE)
    for stanza in files["var/lib/dpkg/status"].split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            qualifiers = f"arch={fields['Architecture']}&distro=debian{f'-{codename[1]}' if codename else ''}"
            # Advisories name the source package, `upstream`, here with its version if that differs.
            if source := re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", "")):
                qualifiers += f"&upstream={quote(source[1] + (f'@{source[2]}' if source[2] else ''), safe=':')}"
            yield component(f"pkg:deb/debian/{quote(name)}@{quote(version, safe=':')}?{qualifiers}", name, version)


def main(image: str, target: str) -> None:
    """Write the SBOM of `image` to the file `target`."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    files = described(image)
    components, depends = python_packages(files)
    own = [part for part in components if canonical(part["name"]) == canonical(project)]
    need(own, f"{image} does not contain {project}, which pyproject.toml names: run `make image`")
    components.remove(own[0])
    components += debian_packages(files)
    version = engine("run", "--rm", "--entrypoint", "/app/.venv/bin/python", image, "-V").split()[1]
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"  # by which scanners look up Python's vulnerabilities
    components.append(component(f"pkg:generic/python@{version}", "python", version) | {"cpe": cpe})
    sbom: Component = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}
    sbom["metadata"] = {"component": own[0] | {"type": "application"}}
    sbom["dependencies"] = [{"ref": ref, "dependsOn": sorted(depends[ref])} for ref in sorted(depends)]
    Path(target).write_text(json.dumps(sbom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{target}: {len(components)} components")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
