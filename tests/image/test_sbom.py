"""`make sbom`: the bill of materials of an image."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.helpers.engine import PYTHON, Build, Engine
from tests.helpers.project import Project, Run, run

CRATE = "pkg:cargo/"


def sbom(project: Project, image: str) -> Run:
    """Write the bill of `image` into the project's folder; it must fit CycloneDX's schema."""
    done = project.make("sbom", env={"IMAGE": image})
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(project.read("sbom.cdx.json"))
    assert error is None, str(error).splitlines()[0]
    return done


def components(project: Project) -> list[dict[str, Any]]:
    """Return what the bill in the project's folder lists."""
    return list(json.loads(project.read("sbom.cdx.json"))["components"])


def purls(parts: Iterable[dict[str, Any]]) -> set[str]:
    """Return the package URLs of components, without what follows a question mark."""
    return {part["purl"].partition("?")[0] for part in parts if "purl" in part}


def test_sbom_is_exactly_what_is_in_the_image(build: Build, engine: Engine) -> None:
    project, image = build()
    sbom(project, image)
    text = project.read("sbom.cdx.json")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    packages = [part for part in components(project) if not part["purl"].startswith(CRATE)]
    parts = {unquote(part["purl"].partition("@")[0]): part["version"] for part in packages}
    assert len(parts) == len(packages)

    def inside(program: str, *arguments: str) -> str:
        return engine.docker("run", "--rm", "--entrypoint", program, image, *arguments).stdout

    debian = dict(line.split() for line in inside("dpkg-query", "-W", "-f", "${Package} ${Version}\n").splitlines())
    source = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    python = dict(line.split() for line in inside(PYTHON, "-c", source).splitlines())
    slug = project.answers["project_slug"]
    assert python.pop(slug) == bill["metadata"]["component"]["version"] == "0.1.0"
    assert bill["metadata"]["component"]["name"] == slug
    want = {f"pkg:deb/debian/{name}": version for name, version in debian.items()}
    want |= {f"pkg:pypi/{name.lower().replace('_', '-')}": version for name, version in python.items()}
    want |= {"pkg:generic/python": inside(PYTHON, "-V").split()[1]}
    assert parts == want
    assert all("licenses" in part for part in packages if part["purl"].startswith("pkg:pypi/pydantic@"))

    # What the wheel of pydantic_core says that it was built from, and that the bill says so.
    own = json.loads(inside("sh", "-c", "cat /app/.venv/lib/python3*/site-packages/pydantic_core-*.dist-info/sboms/*"))
    crates = {part["purl"] for part in own["components"]}
    assert len(crates) > 50
    (extension,) = [part["bom-ref"] for part in packages if part["name"] == "pydantic_core"]
    (entry,) = [entry for entry in bill["dependencies"] if entry["ref"] == extension]
    assert crates == {ref for ref in entry["dependsOn"] if ref.startswith(CRATE)}
    assert crates == {part["purl"] for part in components(project) if part["purl"].startswith(CRATE)}

    # The same image gives the same bill.
    sbom(project, image)
    assert project.read("sbom.cdx.json") == text


def test_another_tool_finds_the_same(build: Build, tmp_path: Path) -> None:
    """syft sees all packages, no crate, and Python only in some builds of it."""
    project, image = build()
    sbom(project, image)
    file = tmp_path / "syft.json"
    env = {"SYFT_CHECK_FOR_APP_UPDATE": "false", "PATH": os.environ["PATH"]}
    run("syft", "scan", "--quiet", f"docker:{image}", "--output", f"cyclonedx-json={file}", env=env)
    theirs = purls(json.loads(file.read_text())["components"])
    ours = purls(components(project)) | {f"pkg:pypi/{project.answers['project_slug']}@0.1.0"}
    assert theirs <= ours
    assert {purl for purl in ours - theirs if not purl.startswith((CRATE, "pkg:generic/python@"))} == set()
    # And it reads our bill, crates included.
    run("syft", "convert", project.path / "sbom.cdx.json", "--output", f"cyclonedx-json={file}", env=env)
    assert purls(json.loads(file.read_text())["components"]) == ours


def test_bills_of_wheels_are_read_with_care(build: Build, engine: Engine, tmp_path: Path) -> None:
    project, image = build()
    inner: dict[str, object] = {"type": "library", "name": "zlib", "version": "1.3", "purl": "pkg:generic/zlib@1.3"}
    strange = {**inner, "unknown": True, "type": "no such type", "licenses": ["MIT", {"license": {"id": "MIT"}}]}
    outer = {"type": "library", "name": "no-purl", "components": [strange]}
    bills: dict[str, object] = {
        "folder/nested.cdx.json": {"bomFormat": "CycloneDX", "components": [outer, strange]},
        "other.spdx.json": {"spdxVersion": "SPDX-2.3"},
        "list.json": ["CycloneDX"],
        "wrong.cdx.json": {"bomFormat": "CycloneDX", "components": [{**inner, "version": 1.3}]},
        "unnamed.cdx.json": {"bomFormat": "CycloneDX", "components": [{"purl": inner["purl"]}]},
        "licence.cdx.json": {"bomFormat": "CycloneDX", "components": [{**inner, "licenses": [{"expression": 1}]}]},
        "odd.cdx.json": {"bomFormat": "CycloneDX", "components": ["zlib"]},
    }
    (tmp_path / "sboms/folder").mkdir(parents=True)
    for name, bill in bills.items():
        (tmp_path / "sboms" / name).write_text(json.dumps(bill))
    (tmp_path / "sboms/text").write_text("zlib 1.3")
    site = f"/app/.venv/lib/python{project.answers['python_version']}/site-packages"
    folder = engine.docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"echo {site}/pydantic-*.dist-info").stdout
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY sboms {folder.strip()}/sboms\n")
    engine.images.append(changed := f"{image}-bills")
    engine.docker("build", "--quiet", "--tag", changed, str(tmp_path))
    done = sbom(project, changed)
    left_out = {line.partition(" is left out")[0].rpartition("/")[2] for line in done.stderr.splitlines()}
    assert left_out >= {*bills, "text"} - {"folder/nested.cdx.json"}
    assert "nested.cdx.json" not in left_out
    (found,) = [part for part in components(project) if part["name"] == "zlib"]
    assert found == {**inner, "bom-ref": inner["purl"]}
