"""Fixtures: bake a project, run something in it, build its image on a real engine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchmarks.engine import containerd_host
from tests.combinations import CHOICES, DECLARED, ROOT, Answers

Run = subprocess.CompletedProcess[str]
Bake = Callable[..., "Project"]


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = True) -> Run:
    """Run `command` with `env` on top of the environment; when it fails, fail with all that it printed."""
    # An active virtual environment or a user's settings for git and cookiecutter are not the project's.
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def known(answers: Answers) -> Answers:
    """Return `answers`, having checked that cookiecutter would not ignore one of them in silence."""
    for name, value in answers.items():
        assert name in DECLARED, f"{name} is not in cookiecutter.json"
        assert value in CHOICES.get(name, [value]), f"{value!r} is not offered for {name}"
    return answers


@dataclass(frozen=True)
class Project:
    """A rendered project."""

    path: Path
    answers: Mapping[str, str]

    @property
    def package(self) -> str:
        """The name of its Python package."""
        return self.answers["package_name"]

    def read(self, name: str) -> str:
        """Return the text of one of its files."""
        return (self.path / name).read_text(encoding="utf-8")

    def files(self) -> list[Path]:
        """Return all its files, relative to it, sorted."""
        return sorted(path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())

    def write(self, name: str, text: str) -> None:
        """Replace the text of one of its files, or add one."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def make(self, *targets: str, env: Mapping[str, str] | None = None, check: bool = True) -> Run:
        """Run `make` in it."""
        return run("make", "--no-print-directory", *targets, cwd=self.path, env=env, check=check)


@pytest.fixture
def bake(cookies: Any) -> Bake:
    """Return a function that bakes a project: `bake(service_type="worker")`. It must succeed."""

    def bake(**answers: str) -> Project:
        result = cookies.bake(extra_context=known(answers), template=str(ROOT))
        assert result.exit_code == 0, result.exception
        return Project(result.project_path, result.context)

    return bake


def interpreters() -> dict[str, Path]:
    """Return the Python versions on offer that this machine has, with the interpreter of each."""
    found = {}
    for version in CHOICES["python_version"]:
        candidates = [shutil.which(f"python{version}")]
        candidates += sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")))
        for path in filter(None, candidates):
            if subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
                found[version] = Path(path)
                break
    return found


WITHOUT_STAND_IN = {"3.12"}  # no release of Debian has that Python, so the lab has no base image with it


@dataclass
class Engine:
    """A Docker engine, the suite of each Python image that it has, and the flags that make a build use the lab."""

    suites: Mapping[str, str]
    build_flags: tuple[str, ...] = ()
    containers: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def need(self, version: str) -> None:
        """Skip the test when there is no base image with that Python; in CI that fails, unless none can be had."""
        if version not in self.suites:
            message = f"the engine has no base image with Python {version}"
            if version in WITHOUT_STAND_IN:
                pytest.skip(message)
            unavailable(message)

    def docker(self, *arguments: str | Path, check: bool = True) -> Run:
        """Run `docker` with `arguments`."""
        return run("docker", *arguments, check=check)

    def build(self, project: Project, *options: str, check: bool = True) -> tuple[str, Run]:
        """Build the project's image; return its tag, and what the build printed."""
        version = project.answers["python_version"]
        tag = f"template-test/{project.answers['project_slug']}:{os.getpid()}-{len(self.images)}"
        self.images.append(tag)
        if lab() and project.answers["build_image"] == "full":
            run(ROOT / "tests/lab/lab", "full", version)
        done = self.docker(
            *("build", "--progress=plain", "--tag", tag, *self.build_flags),
            *("--build-arg", f"DEBIAN_SUITE={self.suites[version]}", *options, str(project.path)),
            check=check,
        )
        return tag, done

    def start(self, *arguments: str) -> str:
        """Start a container in the background, hardened as in production; return its id."""
        hardened = (
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges:true",
        )
        container = self.docker("run", "--detach", *hardened, *arguments).stdout.strip()
        self.containers.append(container)
        return container

    def inspect(self, thing: str, template: str) -> Any:
        """Return what `docker inspect` tells of a container or an image, decoded from JSON."""
        return json.loads(self.docker("inspect", "--format", f"{{{{json {template}}}}}", thing).stdout)

    def clean(self) -> None:
        """Remove every container and image that was made through this object."""
        if self.containers:
            self.docker("rm", "--force", "--volumes", *self.containers, check=False)
        if self.images:
            self.docker("rmi", "--force", *self.images, check=False)


@cache
def lab() -> Mapping[str, str]:
    """Return the variables of the project's own lab when it is in use, else nothing."""
    return (
        {name: value for name, value in os.environ.items() if name.startswith("LAB_")}
        if "SERVICE_LAB" in os.environ
        else {}
    )


def unavailable(message: str) -> NoReturn:
    """Skip the test, for what `message` says; fail where REQUIRE_ENGINE=1 says that engine and lab must be there."""
    if os.environ.get("REQUIRE_ENGINE") == "1":
        pytest.fail(message)
    pytest.skip(message)


def index_environment() -> dict[str, str]:
    """Return the environment that makes `make install` use the lab's mirror, or upstream without a lab."""
    return {"PYPI_MIRROR": f"http://{lab()['LAB_MIRROR_IP']}/pypi/simple/" if lab() else ""}


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker engine in use."""
    if not shutil.which("docker") or run("docker", "info", check=False).returncode:
        unavailable("no Docker engine answers: image tests need one (on Debian as root, `make test` brings up the lab)")
    if lab():
        tags = run("docker", "image", "ls", "--format", "{{.Tag}}", "python").stdout.split()
        suites = dict(tag.split("-slim-") for tag in tags if "-slim-" in tag)
        found = Engine(suites, ("--network", "host", "--add-host", f"mirror.kakao.com:{lab()['LAB_MIRROR_IP']}"))
    else:
        found = Engine(dict.fromkeys(CHOICES["python_version"], "trixie"))
    yield found
    found.clean()


@pytest.fixture(scope="session")
def containerd(engine: Engine) -> dict[str, str]:  # noqa: ARG001 - the lab is up then
    """Return the environment that leads to the lab's second engine, whose image store is containerd's.

    That store keeps attestations and writes images that come out bit for bit the same.
    """
    if not lab():
        unavailable("this test needs an engine with the containerd image store, as the lab has one")
    return {"DOCKER_HOST": containerd_host()}


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a git identity and a cookiecutter configuration of its own."""
    config = tmp_path_factory.mktemp("home") / "gitconfig"
    config.write_text("[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(config.with_name("cookiecutterrc")))
    config.with_name("cookiecutterrc").write_text(
        f"cookiecutters_dir: {config.parent}/cookiecutters\nreplay_dir: {config.parent}/replay\n"
    )
    monkeypatch.setenv("PYTHON", sys.executable)
