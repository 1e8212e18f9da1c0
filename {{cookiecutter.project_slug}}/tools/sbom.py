"""Write a software bill of materials (CycloneDX 1.6, JSON) of what is in an image: `make sbom`.

    python sbom.py IMAGE FILE

cyclonedx-bom lists the Python packages with their licences and dependencies; this adds the Debian packages
that dpkg knows, and Python itself, which the official images build from source. All is read from what the
engine (docker, or what DOCKER names) exports. The result is valid against CycloneDX's schema and, without
time or random number, the same for the same image. It belongs beside the image, not into it. Exit status 1,
with the reason, when a step fails.
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
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

DOCKER = os.environ.get("DOCKER", "docker")
# What describes packages; no name that leads out of a folder.
WANTED = re.compile(r"app/(?!.*\.\./).*\.dist-info/.*|usr/lib/os-release|var/lib/dpkg/status")


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


def debian_packages(folder: Path) -> Iterator[dict[str, str]]:
    """Yield a component for each package that dpkg has installed in the image."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", (folder / "usr/lib/os-release").read_text(), re.MULTILINE)
    distro = f"debian-{release[1]}" if release else "debian"
    for stanza in (folder / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={fields['Architecture']}&distro={distro}"
            yield component(purl, name, version)


def main(image: str, target: str) -> None:
    """Write the bill of materials of `image` to the file `target`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract(image, folder)
        bill = json.loads(python_packages(folder))
        bill["components"] += debian_packages(folder)
    # What is described is the project, with all else as its parts.
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    described = next(part for part in bill["components"] if part["name"] == project)
    bill["components"].remove(described)
    bill["metadata"]["component"] = {**described, "type": "application"}
    version = run(DOCKER, "run", "--rm", "--entrypoint", "/app/.venv/bin/python", image, "-V").split()[1]
    bill["components"].append(component(f"pkg:generic/python@{version}", "python", version))
    text = json.dumps(bill, indent=2, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom: not valid: {error}")
    Path(target).write_text(text, encoding="utf-8")
    print(f"{target}: {len(bill['components'])} components")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
