"""tools/image/lock.py, against Poetry's own export."""

import re
import sys
from collections.abc import Callable

import pytest
from packaging.requirements import Requirement

from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES
from tests.helpers.machine import index_environment
from tests.helpers.project import Bake, Project, add_dependency, lock_script, relock, run

Entries = dict[str, tuple[str, set[str]]]


def entries(text: str, python: str, machine: str) -> Entries:
    """Return name -> version or address, and hashes, of what a requirements file wants on a machine."""
    found = {}
    environment = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.startswith(("#", "--")):
            wanted = Requirement(line.partition(" --hash=")[0])
            if wanted.marker is None or wanted.marker.evaluate(dict(environment)):
                version = wanted.url or str(wanted.specifier).removeprefix("==")
                found[wanted.name] = (version, set(re.findall(r"--hash=(\S+)", line)))
    return found


def locked(project: Project, *options: str, machine: str = "x86_64") -> Entries:
    """Return the entries of the lists that lock.py writes."""
    done = lock_script(project, *options)
    assert (done.returncode, done.stderr) == (0, "")
    text = "".join(path.read_text() for path in project.path.glob("lists/*.txt"))
    return entries(text, project.answers["python_version"], machine)


def refused(project: Project, *options: str) -> str:
    """Return why lock.py refuses a project: in one line, with no list written."""
    done = lock_script(project, *options)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(project.path.glob("lists/*"))
    return done.stderr


def set_image(project: Project, setting: str, value: str) -> None:
    """Give a setting of [tool.image] a value."""
    project.replace("pyproject.toml", f"\n{setting} = []\n", f"\n{setting} = {value}\n")


def set_extras(project: Project, lines: str) -> None:
    """Give the project extras."""
    project.replace(
        "pyproject.toml", "\n[tool.poetry]\n", f"\n[project.optional-dependencies]\n{lines}\n[tool.poetry]\n"
    )
    relock(project)


def set_source(project: Project, kind: str, url: str, files: str = "") -> str:
    """Let the lock have the last package of the main group from another source; return its name."""
    text, end, metadata = project.read("poetry.lock").partition("\n[metadata]")
    (*_, entry) = (part for part in text.split("[[package]]\n") if re.search('^groups = .*"main"', part, re.MULTILINE))
    before, _, after = text.partition(f"[[package]]\n{entry}")
    if files:
        entry = re.sub(r"(?s)files = \[.*?\n\]\n", f"files = [{files}]\n", entry)
    source = f'\n[package.source]\ntype = "{kind}"\nurl = "{url}"\nreference = "ours"\n'
    project.write("poetry.lock", f"{before}[[package]]\n{entry.rstrip()}\n{source}\n{after}{end}{metadata}")
    return str(re.findall(r'^name = "(.+)"', entry)[0])


@pytest.mark.quick
@pytest.mark.parametrize("python", CHOICES["python_version"])
def test_the_shipped_lock_is_read_as_poetry_export_reads_it(bake: Bake, python: str) -> None:
    project = bake(python_version=python)
    exported = run(*POETRY, "export", "--only", "main", cwd=project.path, env=index_environment()).stdout
    found = locked(project, "--wheels")
    assert found == entries(exported, python, "x86_64")
    assert len(found["pydantic-core"][1]) > 50  # all its files: uv chooses
    head = project.read("lists/requirements.txt").splitlines()[:2]
    assert head == [f"# {sys.version.split()[0]}", "# with tests: "]


def test_extras_and_markers_are_read_as_poetry_export_reads_them(bake: Bake) -> None:
    project = bake(service_type="worker")
    more = ("httpx[http2]>=0.28", "tzdata>=2025.2; platform_machine == 'aarch64'", "colorama; sys_platform == 'win32'")
    for requirement in more:
        add_dependency(project, requirement)
    set_extras(project, 'fast = ["sortedcontainers>=2"]\nunused = ["tabulate"]')
    for extras, options in ({"[]": (), '["fast"]': ("--extras", "fast")}).items():
        project.write(
            "pyproject.toml", re.sub(r"(?m)^extras = .*$", f"extras = {extras}", project.read("pyproject.toml"))
        )
        command = (*POETRY, "export", "--only", "main", *options)
        exported = run(*command, cwd=project.path, env=index_environment()).stdout
        for machine in ("x86_64", "aarch64"):
            found = locked(project, machine=machine)
            assert found == entries(exported, "3.14", machine)
            assert ("tzdata" in found, "sortedcontainers" in found) == (machine == "aarch64", bool(options))


def test_development_takes_all_groups_and_the_extras_that_may_be_together(bake: Bake) -> None:
    """Exclusive ones, as Poetry's manual has them: those of [tool.image]; else all."""
    project = bake(service_type="worker")
    set_extras(project, 'cpu = ["sortedcontainers==2.4.0"]\ngpu = ["tabulate"]')
    found = locked(project, "--development")
    assert {"sortedcontainers", "tabulate", "pytest", "pydantic"} <= found.keys()
    assert not {"sortedcontainers", "tabulate", "pytest"} & locked(project).keys()
    project.replace(
        "pyproject.toml",
        'cpu = ["sortedcontainers==2.4.0"]\ngpu = ["tabulate"]',
        "cpu = [\"six (==1.16.0) ; extra == 'cpu' and extra != 'gpu'\"]\n"
        "gpu = [\"six (==1.17.0) ; extra == 'gpu' and extra != 'cpu'\"]",
    )
    relock(project)
    set_image(project, "extras", '["gpu"]')
    for options in ((), ("--development",)):
        assert locked(project, *options)["six"][0] == "1.17.0"


def test_a_package_without_a_wheel(bake: Bake) -> None:
    project = bake(service_type="worker")
    add_dependency(project, "docopt==0.6.2")  # published as a source archive only
    relock(project)
    message = refused(project, "--wheels")
    assert "docopt==0.6.2 has no wheel" in message
    assert "build_image=full" in message
    assert locked(project)["docopt"][0] == "0.6.2"


LOCKS: dict[str, Callable[[str], str | None]] = {
    "poetry.lock is missing": lambda _: None,
    "does not fit pyproject.toml": lambda text: re.sub('content-hash = "..', 'content-hash = "xx', text),
    "older than 2.0": lambda text: text.replace('lock-version = "2.1"', 'lock-version = "2.0"'),
    "can't be read": lambda text: text + "[",
}


@pytest.mark.quick
@pytest.mark.parametrize("words", LOCKS)
def test_a_lock_that_can_not_be_read_is_refused(bake: Bake, words: str) -> None:
    project = bake()
    text = LOCKS[words](project.read("poetry.lock"))
    (project.path / "poetry.lock").unlink()
    if text:
        project.write("poetry.lock", text)
    assert words in refused(project)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kind", "url"),
    [("git", "https://git.example.com/x.git"), ("directory", "../shared"), ("file", "../x.whl")],
)
def test_a_source_without_a_hash_is_refused(bake: Bake, kind: str, url: str) -> None:
    project = bake()
    name = set_source(project, kind, url)
    message = refused(project)
    assert message.startswith(f"{name} is locked to {kind} ")
    assert f'publish it on an index, or name the address of an archive, "{name} @ https://..."' in message


@pytest.mark.quick
def test_a_package_from_an_address(bake: Bake) -> None:
    project = bake()
    digest = f"sha256:{'0' * 64}"
    name = set_source(project, "url", "https://example.com/x.whl", f'{{file = "x.whl", hash = "{digest}"}}')
    assert locked(project)[name] == ("https://example.com/x.whl", {digest})


@pytest.mark.quick
@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("https://pypi.example.com/simple", "--index-url"),
        ("https://example.com/releases.html", "--no-index --find-links"),
    ],
)
def test_packages_of_another_index_have_a_list_that_names_it(bake: Bake, url: str, option: str) -> None:
    project = bake()
    name = set_source(project, "legacy", url)
    everything = locked(project)
    first, line = project.read("lists/requirements-1.txt").splitlines()
    assert first == f"{option} {url}"
    assert line.startswith(f"{name}==")
    assert f"\n{name}==" not in project.read("lists/requirements.txt")
    assert name in everything


@pytest.mark.quick
@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("extras", '["fats"]', "tool.image.extras is ['fats']; allowed: a list of some of nothing: there is none\n"),
        ("extras", '"fast"', "tool.image.extras is 'fast'; allowed: a list of some of "),
        ("with-tests", '["numpy"]', "tool.image.with-tests is ['numpy']; allowed: a list of some of annotated-doc, "),
        ("extra", "[]", "tool.image has extra; allowed: extras, with-tests\n"),
    ],
)
def test_a_wrong_setting_is_named(bake: Bake, setting: str, value: str, message: str) -> None:
    project = bake()
    project.replace("pyproject.toml", "\n[tool.image]\n", f"\n[tool.image]\n{setting} = {value}\n")
    if setting in ("extras", "with-tests"):
        project.replace("pyproject.toml", f"\n{setting} = []\n", "\n")
    assert message in refused(project)


@pytest.mark.quick
def test_a_broken_pyproject_is_named(bake: Bake) -> None:
    project = bake()
    project.append("pyproject.toml", "[")
    assert refused(project).startswith("pyproject.toml can't be read: ")


@pytest.mark.quick
def test_it_fits_the_project_after_an_edit_outside_the_dependencies(bake: Bake) -> None:
    project = bake()
    project.replace("pyproject.toml", '\nversion = "0.1.0"\n', '\nversion = "0.2.0"\n')
    assert locked(project)
