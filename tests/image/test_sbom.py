"""`make sbom`: the bill of materials of an image."""

import json

from tests.helpers.engine import PYTHON, Build, Engine
from tests.helpers.machine import index_environment


def test_sbom_is_exactly_what_is_in_the_image(build: Build, engine: Engine) -> None:
    project, image = build()
    settings = {"IMAGE": image, **index_environment()}
    project.make("sbom", env=settings)
    text = project.read("sbom.cdx.json")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["purl"].partition("?")[0].partition("@")[0]: part["version"] for part in bill["components"]}
    assert len(parts) == len(bill["components"])

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
    assert all("licenses" in part for part in bill["components"] if part["purl"].startswith("pkg:pypi/pydantic@"))
    # The same image gives the same bill.
    project.make("sbom", env=settings)
    assert project.read("sbom.cdx.json") == text
