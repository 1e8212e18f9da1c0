"""The generated pipelines, run for real: what is in the registry at their end."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ci.conftest import Registry
from tests.ci.pipelines import (
    HERE,
    MAIN,
    REQUEST,
    SCHEDULE,
    TAG,
    Event,
    Machine,
    Pipeline,
    commit,
    run_github,
    run_gitlab,
)
from tests.helpers.contract import PATIENCE
from tests.helpers.engine import Engine
from tests.helpers.machine import interpreters, lab, unavailable
from tests.helpers.osv import Osv, osv
from tests.helpers.project import Project, baked, run
from tests.lab.unruly import Unruly, certificate, unruly


@dataclass(frozen=True)
class Repository:
    """A project in a repository, the machine that its pipelines run on, and the registry that they push to."""

    project: Project
    machine: Machine
    registry: Registry
    name: str

    @property
    def image(self) -> str:
        """The name of its image."""
        return f"{self.registry.address}/{self.name}"

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return run("git", "rev-parse", "HEAD", cwd=self.project.path).stdout.strip()

    def commit(self) -> None:
        """Commit the project as it is."""
        commit(self.project.path, f"https://{self.project.answers['ci']}.com/{self.name}.git")

    def run(self, event: Event, *only: str, **env: str) -> Pipeline:
        """Run the pipeline for `event`; if jobs are named, only these (on GitHub with those that they need)."""
        machine = Machine(self.machine.folder, {**self.machine.env, **env})
        if self.project.answers["ci"] == "github":
            workflow = ("--workflows", ".github/workflows/ci.yml")
            return run_github(machine, self.project.path, event, *workflow, *(f"--job={name}" for name in only))
        pipeline = run_gitlab(machine, self.project.path, event, self.image, *only)
        assert pipeline
        return pipeline

    def audit(self) -> Pipeline:
        """Run what is scheduled for the lock."""
        if self.project.answers["ci"] == "github":
            workflow = ("--workflows", ".github/workflows/audit.yml")
            return run_github(self.machine, self.project.path, SCHEDULE, *workflow)
        pipeline = run_gitlab(self.machine, self.project.path, SCHEDULE, self.image, "audit")
        assert pipeline
        return pipeline

    def pushed(self) -> dict[str, str]:
        """Return the tags in the registry with the digest of each."""
        return self.registry.digests(self.name)


@pytest.fixture(scope="module")
def mirror(folder: Path) -> Iterator[Unruly]:
    """A mirror that does nothing wrong, and remembers what it was asked for."""
    ca = Path(lab()["LAB_CA"])
    certified = certificate(folder, ca, ca.with_name("ca.key"), ["DNS:localhost"])
    with unruly(lab()["LAB_MIRROR_IP"], "127.0.0.1", "localhost", certified) as found:
        yield found


@pytest.fixture(scope="module")
def folder(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - skips without the lab
    return tmp_path_factory.mktemp("pipelines")


@pytest.fixture(scope="module")
def service() -> Iterator[Osv]:
    """What knows vulnerabilities: at first, none in the images here."""
    with osv() as found:
        yield found


@pytest.fixture(scope="module")
def surroundings(
    folder: Path, engine: Engine, containerd: dict[str, str], mirror: Unruly, service: Osv
) -> dict[str, str]:
    """The environment of every pipeline: one Python, the engine that can write a registry cache, mirror and OSV."""
    version = next((choice for choice in interpreters() if choice in engine.suites), None)
    if version is None:
        unavailable("the pipelines need a Python that both this machine and a base image have")
    pythons = folder / "pythons"
    (pythons / version).mkdir(parents=True)
    (pythons / version / "bin").symlink_to(interpreters()[version].parent)
    trusted = folder / "trusted.pem"
    trusted.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + Path(lab()["LAB_CA"]).read_bytes())
    not_theirs = ("DOCKER_CONFIG", "MAKEFLAGS", "MAKELEVEL", "PYTHON", "VIRTUAL_ENV")
    return {
        **{name: value for name, value in os.environ.items() if name not in not_theirs},
        **containerd,
        **dict.fromkeys(["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"], str(trusted)),
        "PATH": f"{HERE}/programs:{pythons}/{version}/bin:{os.environ['PATH']}",
        "PIPELINE_DOCKER_PLUGINS": f"{os.environ['DOCKER_CONFIG']}/cli-plugins",
        "PIPELINE_DOCKER": str(shutil.which("docker")),
        "PIPELINE_PYTHONS": str(pythons),
        "OSV_URL": service.url,
        "PYPI_MIRROR": mirror.pypi,
        "PYTHON_VERSION": version,
        "DEBIAN_SUITE": engine.suites[version],
    }


@pytest.fixture(scope="module")
def repository(
    cookies_session: Any, folder: Path, surroundings: dict[str, str], registry: Registry, containerd: dict[str, str]
) -> Iterator[Callable[[str], Repository]]:
    """Return a function that makes the repository of a project for a CI, with nothing pushed yet."""
    made: list[Repository] = []

    def make(ci: str) -> Repository:
        answers = {
            "python_version": surroundings["PYTHON_VERSION"],
            "service_type": "worker",
            "mirror": "none",
            "ci": ci,
        }
        project = baked(cookies_session, answers)
        for workflow in project.path.glob(".github/workflows/*.yml"):
            text = workflow.read_text(encoding="utf-8")
            workflow.write_text(text.replace("ghcr.io", registry.address), encoding="utf-8")
        own = folder / f"{ci}-{len(made)}"
        own.mkdir()
        env = {**surroundings, "PIPELINE_CALLS": str(own / "calls")}
        made.append(Repository(project, Machine(own, env), registry, f"team/service-{uuid.uuid4().hex[:12]}"))
        made[-1].commit()
        return made[-1]

    yield make
    for one in made:
        form = "{{.Repository}}:{{.Tag}}"
        tags = run("docker", "image", "ls", "--format", form, one.image, env=containerd).stdout.split()
        run("docker", "rmi", "--force", *tags, env=containerd, check=False)


def fetched(mirror: Unruly) -> list[str]:
    """Return the packages that the mirror was asked for."""
    assert mirror.requests
    return [path for path in mirror.requests if path.startswith("/pypi/packages/")]


@pytest.mark.parametrize(
    ("ci", "event", "tags"),
    [("github", MAIN, ["main"]), ("gitlab", TAG, ["0.1.0", "latest"])],
    ids=["github", "gitlab"],
)
def test_to_the_end(
    ci: str, event: Event, tags: list[str], repository: Callable[[str], Repository], mirror: Unruly
) -> None:
    """All for real: checks, build, contract, bill of materials; then what is in the registry. Then the checks again.

    On GitLab, where `make` does the same, a part of the contract will do.
    """
    here = repository(ci)
    done = here.run(event, **({"SLOW": PATIENCE} if ci == "github" else {"POINTS": "size:", "UNCHECKED": "1"}))
    assert done.status == 0, done.log
    assert {path.name for path in done.artifacts.iterdir()} >= {"contract.xml", "sbom.cdx.json"}
    (digest,) = set(here.pushed().values())
    assert here.pushed() == dict.fromkeys([here.head, *tags], digest)
    assert f"{here.image}@{digest} is pushed as {here.head}, {', '.join(tags)}" in done.log
    # The registry has the labels of this commit below that digest, and what the next build can take from the cache.
    labels = here.registry.labels(here.name, digest)
    assert labels["org.opencontainers.image.revision"] == here.head
    assert labels["org.opencontainers.image.source"].startswith(f"https://{ci}.com/team/service")
    assert here.registry.digests(f"{here.name}/build-cache").keys() == {"latest"}
    # What is signed: the provenance of that digest, and the SBOM. Elsewhere, the digest is among the artifacts.
    if ci == "github":
        signed = (here.machine.folder / "calls").read_text().splitlines()
        assert [line.split()[:3] for line in signed] == [
            ["attest", f"{here.image}@{digest}", "provenance"],
            ["attest", f"{here.image}@{digest}", "sbom.cdx.json"],
        ]
    else:
        assert (done.artifacts / ".image-pushed").read_text() == f"{here.image}@{digest}\n"
    sbom = json.loads((done.artifacts / "sbom.cdx.json").read_text())
    assert sbom["metadata"]["component"]["name"] == here.project.answers["project_slug"]

    mirror.requests.clear()
    again = here.run(MAIN, "check")
    assert again.status == 0, again.log
    assert not fetched(mirror)


def test_a_request_pushes_nothing(repository: Callable[[str], Repository]) -> None:
    here = repository("github")
    done = here.run(REQUEST, "image", POINTS="size:")
    assert done.status == 0, done.log
    assert {path.name for path in done.artifacts.iterdir()} == {"contract.xml", "sbom.cdx.json"}
    assert not here.pushed()
    assert not here.registry.digests(f"{here.name}/build-cache")


def test_what_breaks_its_contract_or_budget_is_not_pushed(repository: Callable[[str], Repository]) -> None:
    here = repository("gitlab")
    here.project.replace("Dockerfile", "\nUSER 10001:10001\n", "\nUSER 0:0\n")
    here.project.replace("pyproject.toml", "budget = { venv = 20,", "budget = { venv = 1,")
    here.commit()
    done = here.run(MAIN, "build-image", POINTS="user: or size:")
    assert done.status != 0
    for point in ("user: a number, not root", "size: within the budget"):
        assert f"FAILED     {point}" in done.log
    assert 'failures="2"' in (done.artifacts / "contract.xml").read_text(encoding="utf-8")
    assert not here.pushed()


def test_the_lock_is_looked_up(repository: Callable[[str], Repository], service: Osv) -> None:
    """By the jobs of both, with the project's own environment."""
    for ci in ("github", "gitlab"):
        here = repository(ci)
        service.records = service.records[:1]
        assert here.audit().status == 0
        version = here.project.read("poetry.lock").partition('name = "pydantic"\nversion = "')[2].partition('"')[0]
        service.add("GHSA-1", "pydantic", version)
        done = here.audit()
        assert done.status != 0
        assert f"FOUND     pydantic {version}  GHSA-1" in done.log
    service.records = service.records[:1]
