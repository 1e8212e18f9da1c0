"""A closed network: docs/mirrors.md, "A network without upstream", word for word.

The lab has a machine that reaches an organisation's devpi, apt-cacher-ng and registry, and nothing else.
"""

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.combinations import ROOT
from tests.helpers.contract import PATIENCE, red, table
from tests.helpers.engine import Engine
from tests.helpers.machine import interpreters, lab, unavailable
from tests.helpers.mirror import upstream_host
from tests.helpers.project import Project, Run, add_dependency, run
from tests.helpers.repository import copy_template
from tests.lab.engine import LAB

ORGANISATION = {f"{name}.example.com" for name in ("devpi", "debian", "registry")}
TOKEN = "lab"


def steps(page: str) -> list[str]:
    """Return the blocks of code in the section that is walked here."""
    section = re.split(r"^## ", (ROOT / page).read_text(), flags=re.M)
    (text,) = (part for part in section if part.startswith("A network without upstream\n"))
    return re.findall(r"^```\w+\n(.*?)^```", text, re.M | re.S)


class Machine:
    """The machine in the closed network."""

    def __init__(self, command: str, home: Path, **env: str) -> None:
        self.command, self.home, self.setup, self.env = command, home, "", {"HOME": str(home), **env}
        self.names = Path(lab()["LAB_CA"]).parents[1] / "organisation/names.log"
        self.start = self.names.stat().st_size

    def __call__(self, script: str, cwd: Path | None = None, check: bool = True) -> Run:
        """Run commands in a shell that has nothing in its environment but what a new machine has."""
        env = [f"{name}={value}" for name, value in self.env.items()]
        return run("env", "-i", *env, self.command, "bash", "-euc", self.setup + script, cwd=cwd, check=check)

    def asked(self) -> set[str]:
        """Return the hosts that were looked up so far; apt asks for a service of each, too."""
        text = self.names.read_bytes()[self.start :].decode()
        return set(re.findall(r"query\[\w+\] (?:_https?\._tcp\.)?(\S+) from", text))


@pytest.fixture
def version(engine: Engine) -> str:
    both = [version for version in interpreters() if version in engine.suites]
    if not both:
        unavailable("no Python of this machine has a base image as well")
    return both[0]


@pytest.fixture
def machine(engine: Engine, version: str, tmp_path: Path) -> Iterator[Machine]:
    if not lab():
        unavailable("this test needs the lab's closed network, and the lab is not in use")
    command = run(LAB, "closed", version).stdout.split()[-1]
    plugins = Path(os.environ["DOCKER_CONFIG"]) / "cli-plugins"
    home, python = tmp_path / "home", interpreters()[version]
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/cli-plugins").symlink_to(plugins)
    # Debian's Python follows the release, and so does the stand-in for the base image.
    machine = Machine(
        *(command, home),
        PATH=f"{python.parent}:{os.environ['PATH']}",
        PYTHON=sys.executable,
        PIP_CONFIG_FILE=os.devnull,
        DEBIAN_SUITE=engine.suites[version],
        TOKEN=TOKEN,
        SLOW=PATIENCE,
        ARGS=f"mirror=none service_type=fastapi python_version={version}",
    )
    machine("docker system prune --all --force && docker builder prune --all --force")
    yield machine
    machine("docker system prune --all --force && docker builder prune --all --force")


def test_the_page_leads_from_make_new_to_a_checked_image(machine: Machine, version: str, tmp_path: Path) -> None:
    password, once, settings, scaffold, check, lock, image = steps("docs/mirrors.md")
    upstream = f"import socket; socket.create_connection(('{upstream_host()}', 443), 60)"
    assert "gaierror" in machine(f'{sys.executable} -c "{upstream}"', check=False).stderr
    machine.start = machine.names.stat().st_size

    (machine.home / ".netrc").write_text(password.replace("<token>", TOKEN))
    (machine.home / ".netrc").chmod(0o600)
    shutil.copy(machine.names.with_name("tls") / "ca.crt", machine.home / "ca.pem")
    machine(once)
    machine.setup = settings
    copy_template(tmp_path / "template")
    machine(scaffold, tmp_path / "template")

    (path,) = (tmp_path / "template/out").iterdir()
    project = Project(path, {})
    machine(check, path)
    add_dependency(project, "tabulate")
    machine(lock, path)
    locked = project.read("poetry.lock")
    assert "tabulate" in {package["name"] for package in tomllib.loads(locked)["package"]}
    assert "example.com" not in locked
    project.write("docker/apt-runtime.txt", "tree\n")
    done = machine(image, path, check=False)
    judged = re.search(r"^(held|FAILED|EXCEPTED|not judged) .* points hold$", done.stdout, re.M | re.S)
    assert judged, done.stdout + done.stderr
    assert red(table(Run(done.args, min(done.returncode, 1), judged[0], done.stderr))) == {}
    assert "Debian's security suite can't be reached" in done.stderr

    imports = f"docker run --rm --entrypoint /app/.venv/bin/python {path.name} -c 'import tabulate'"
    assert machine(imports).stderr == ""
    labels = json.loads(machine(f"docker image inspect --format '{{{{json .Config.Labels}}}}' {path.name}").stdout)
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")

    base = f"registry.example.com/library/python:{version}-slim-{machine.env['DEBIAN_SUITE']}"
    sources = machine(f"docker run --rm {base} sh -c 'cat /etc/apt/sources.list.d/*'").stdout
    security = set(re.findall(r"URIs: https?://([^/\s]+)", sources))
    assert machine.asked() - ORGANISATION <= security, "somebody else was looked for"
    assert machine.asked() >= ORGANISATION
