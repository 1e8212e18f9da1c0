"""What a build makes of dependencies: installed, compiled, each file once; and what it refuses."""

import os
import re
import shutil
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.helpers.engine import Build, Engine, again, call, fails, healthcheck, python, until
from tests.helpers.machine import index_environment, lab, unavailable
from tests.helpers.project import Bake, Project, add_dependency, relock
from tests.image.test_lock import set_extras, set_image
from tests.lab.engine import digests

COMPILED = Path(__file__).with_name("probes") / "compiled.py"


# --- everything is compiled ---------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["fastapi", "worker"])
def test_every_module_has_bytecode(build: Build, engine: Engine, service: str) -> None:
    _, image = build(service_type=service)
    *without, count = python(engine, image, COMPILED.read_text()).split()
    assert without == []
    assert int(count) > 600


def test_the_first_requests_write_and_compile_nothing(build: Build, engine: Engine) -> None:
    """Run by root, which may write bytecode wherever some is missing."""
    _, image = build()
    for allowed in (False, True):
        options = ("--user", "0:0", "--env", "PYTHONDONTWRITEBYTECODE=", "--tmpfs", "/tmp")
        arguments = options if allowed else ("--read-only", "--tmpfs", "/tmp")
        container = engine.docker("run", "--detach", "--publish", "127.0.0.1::8000", *arguments, image).stdout.strip()
        engine.containers.append(container)
        until(lambda: healthcheck(engine, container))  # noqa: B023 - it ends here
        for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
            assert call(engine, container, path)[0] == 200
        assert engine.docker("diff", container).stdout.split("\n") in ([""], ["C /tmp", ""])


# --- what may be named in pyproject.toml ------------------------------------------------------------------------


def address_of(name: str) -> str:
    """Return the address of a package's newest wheel for all machines on the lab's mirror."""
    page = f"{index_environment()['PYPI_MIRROR']}{name}/"
    with urllib.request.urlopen(page, timeout=60) as answer:
        links: list[str] = re.findall(r'href="([^"#]+-none-any\.whl)', answer.read().decode())
    return urljoin(page, links[-1])


def test_extras_addresses_and_tests_of_packages(bake: Bake, engine: Engine) -> None:
    """Tests inside packages stay out, unless one is named."""
    if not lab():
        unavailable("this test needs an address on the lab's mirror, and the lab is not in use")
    project = bake(service_type="worker", project_slug="with-more", package_name="more")
    for requirement in ("greenlet>=3", "simplejson", f"iniconfig @ {address_of('iniconfig')}"):
        add_dependency(project, requirement)
    set_extras(project, 'fast = ["sortedcontainers>=2"]\nunused = ["tabulate"]')
    set_image(project, "extras", '["fast"]')
    set_image(project, "with-tests", '["simplejson"]')
    relock(project)
    image, _ = engine.build(project)
    code = (
        "from importlib.metadata import distributions, files\n"
        "print(*sorted(d.name for d in distributions()))\n"
        "found = [p for d in distributions() for p in d.files]\n"  # files that are not there are left out
        "print(*sorted({p.parts[0] for p in found if 'tests' in p.parts}))\n"
        "print(*[row for row in next(d.read_text('RECORD') for d in distributions(name='greenlet')).split()"
        " if '/tests/' in row])\n"
    )
    names, tested, recorded = python(engine, image, code).splitlines()
    assert {"iniconfig", "sortedcontainers", "greenlet"} <= {*names.split()}
    assert "tabulate" not in names
    assert (tested, recorded) == ("simplejson", "")


def without_wheel(bake: Bake, build_image: str = "full") -> Project:
    """Return a project that depends on a package that is published as a source archive only."""
    project = bake(build_image=build_image, project_slug=f"without-wheel-{build_image}", service_type="worker")
    add_dependency(project, "docopt==0.6.2")
    relock(project)
    return project


def test_a_package_without_a_wheel(bake: Bake, engine: Engine) -> None:
    fails(engine, without_wheel(bake, "slim"), "docopt", "no wheel", "build_image=full")
    image, _ = engine.build(without_wheel(bake))
    engine.docker("run", "--rm", image, "docopt")


def test_a_full_image_of_another_release_is_refused(bake: Bake, engine: Engine) -> None:
    """An old one may lie on a machine, or come out of a registry that has not got both yet."""
    engine.need("3.13")
    registry = f"template-test/registry-{os.getpid()}"
    slim = f"python:3.14-slim-{engine.suites['3.14']}"
    for name, other in ((slim, slim), (slim.replace("slim-", ""), f"python:3.13-slim-{engine.suites['3.13']}")):
        engine.images.append(f"{registry}/{name}")
        engine.docker("tag", other, engine.images[-1])
    options = ("--build-arg", f"REGISTRY={registry}", "--target", "packages")
    message = r"the full image has Python 3\.13\.\d+, the slim one 3\.14\.\S+: pull both anew"
    fails(engine, without_wheel(bake), message, options=options)


# --- two packages with the same file ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(rendered: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two packages that both bring jwt/__init__.py and others."""
    slug = f"both-{uuid.uuid4().hex[:8]}"  # caches of its own
    source = rendered(service_type="worker", project_slug=slug, package_name="both")
    folder = tmp_path_factory.mktemp("both") / "both"
    project = Project(shutil.copytree(source.path, folder, symlinks=True), source.answers)
    for requirement in ("jwt==1.2.0", "pyjwt==2.9.0"):
        add_dependency(project, requirement)
    relock(project)
    return project


def test_two_packages_with_the_same_file_are_named(both: Project, engine: Engine) -> None:
    """And it is the same one's each time, source and bytecode."""
    found = []
    # The first two begin with empty caches.
    for number, option in enumerate(["--no-cache-filter=packages", "--no-cache-filter=packages", again(), again()]):
        image, done = engine.build(both, option)
        said = re.findall(r"mirror: (\w+) and (\w+) both bring \S+/jwt/__init__\.py; it is (\w+)'s", done.stderr)
        assert len({*said}) == 1, number
        assert {*said[0]} == {"jwt", "pyjwt"}
        code = "import jwt, inspect; print(hasattr(jwt, 'PyJWT'), 'PyJWT' in inspect.getsource(jwt))"
        assert python(engine, image, code).split() == [str(said[0][2] == "pyjwt")] * 2
        found.append(digests(image)[2:])
    assert len({*map(tuple, found)}) == 1


# Its bytecode is that of another source.
STALE = """
import importlib.util, pathlib, sysconfig
for path in pathlib.Path(sysconfig.get_path("purelib")).rglob("*.pyc"):
    source = pathlib.Path(importlib.util.source_from_cache(str(path)))
    if importlib.util.source_hash(source.read_bytes()) != path.read_bytes()[8:16]:
        print(source)
"""


def test_an_update_of_one_of_them_changes_source_and_bytecode(both: Project, engine: Engine) -> None:
    """What the cache has of the other package does not hide it."""
    for version in ("1.2.0", "1.4.0"):
        both.write("pyproject.toml", re.sub(r'"jwt==[^"]+"', f'"jwt=={version}"', both.read("pyproject.toml")))
        relock(both)
        image, _ = engine.build(both, again())
        assert python(engine, image, STALE) == "", version


# --- failures -----------------------------------------------------------------------------------------------


def remove_lock(project: Project) -> None:
    (project.path / "poetry.lock").unlink()


def make_lock_stale(project: Project) -> None:
    add_dependency(project, "six>=1")


@pytest.mark.parametrize(
    ("change", "words"),
    [(remove_lock, "poetry.lock is missing: run 'make lock'"), (make_lock_stale, "poetry.lock does not fit pypr")],
)
def test_a_lock_that_does_not_fit_stops_the_build(
    bake: Bake, engine: Engine, change: Callable[[Project], None], words: str
) -> None:
    project = bake()
    change(project)
    fails(engine, project, words, options=("--target", "lock"))


def test_unknown_debian_package_stops_the_build(bake: Bake, engine: Engine) -> None:
    project = bake()
    project.write("docker/apt-runtime.txt", "no-such-package\n")
    fails(engine, project, "no-such-package", options=("--target", "base"))


def test_debian_packages_reach_the_stage_that_they_are_for(bake: Bake, engine: Engine) -> None:
    project = without_wheel(bake)
    project.write("docker/apt-build.txt", "tree  # a comment\n")
    project.write("docker/apt-runtime.txt", "# a comment\n\nfile\n")
    packages, _ = engine.build(project, "--target", "packages")
    engine.docker("run", "--rm", packages, "tree", "--version")
    image, _ = engine.build(project)
    query = ("run", "--rm", "--entrypoint", "dpkg-query", image, "-W", "-f", "${Package}\n")
    listed = engine.docker(*query).stdout.split()
    assert "file" in listed
    assert "tree" not in listed


def test_empty_lists_run_no_apt(bake: Bake, engine: Engine) -> None:
    _, done = engine.build(bake(), "--no-cache-filter", "base", "--target", "base")
    assert "Reading package lists" not in done.stderr


@pytest.mark.quick
def test_a_step_of_the_base_changes_with_the_files_that_it_mounts(bake: Bake) -> None:
    """Buildah looks for a step in its cache by the text alone, which must hold a checksum of those files."""
    project = bake()
    assert {"settings"} == set(re.findall(r"AS base\n(?:.*\n)*?RUN .*from=(\w+)", project.read("Dockerfile")))
    seen = set()
    for file in ("README.md", "docker/apt-runtime.txt", "docker/debian.sources", "tools/image/base.py"):
        project.append(file, "\n# changed\n")
        seen.update(re.findall(r" --build-arg SETTINGS=(\S+) ", project.make("image", "DOCKER=echo").stdout))
    assert len(seen) == 4
