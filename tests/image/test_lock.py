"""tools/build/lock.py, against Poetry's own export."""

import re
import sys
import tomllib
from collections.abc import Callable

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from poetry.packages.locker import Locker

from build import lock, tools
from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.machine import index_environment
from tests.helpers.project import Bake, Project, add_dependency, lock_script, relock, run

TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
MACHINES = ("x86_64", "aarch64")


def entries(text: str, python: str, machine: str) -> dict[str, tuple[str, set[str]]]:
    """Return name -> version and hashes of what a requirements file wants on a machine."""
    found = {}
    environment = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        wanted = Requirement(line.partition(" --hash=")[0])
        if wanted.marker is None or wanted.marker.evaluate(dict(environment)):
            found[wanted.name] = (str(wanted.specifier).removeprefix("=="), set(re.findall(r"--hash=(\S+)", line)))
    return found


def chosen(project: Project, machine: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return name -> the words of its line in a list of lock.py, the layer in front, as on another machine."""
    python = project.answers["python_version"]
    version = (int(python.split(".")[0]), int(python.split(".")[1]))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(41, 16, -1)]
    tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, "cp314", platforms)]
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    monkeypatch.setattr(lock, "sys_tags", lambda: tags)
    monkeypatch.setattr(lock, "default_environment", lambda: {**environment, "platform_machine": machine})
    locker = Locker(project.path / "poetry.lock", tomllib.loads(project.read("pyproject.toml")))
    lists = lock.chosen(locker, build=False)
    return {line.split()[0]: [layer, *line.split()] for layer, lines in lists.items() for line in lines}


def as_rendered(_project: Project) -> None:
    pass


def with_extras(project: Project) -> None:
    """Add what makes locks complicated: extras, of a dependency and of the project's own, and markers."""
    more = ("httpx[http2]>=0.28", "tzdata>=2025.2; platform_machine == 'aarch64'", "colorama; sys_platform == 'win32'")
    for requirement in more:
        add_dependency(project, requirement)
    project.replace(
        "pyproject.toml",
        "\n[tool.poetry]\n",
        '\n[project.optional-dependencies]\nfast = ["orjson>=3"]\n\n[tool.poetry]\n',
    )
    relock(project)


@pytest.mark.parametrize("change", [pytest.param(as_rendered, marks=pytest.mark.quick), with_extras])
@pytest.mark.parametrize("python", CHOICES["python_version"])
def test_lock_is_read_as_poetry_export_reads_it(
    bake: Bake, monkeypatch: pytest.MonkeyPatch, python: str, change: Callable[[Project], None]
) -> None:
    project = bake(python_version=python)
    change(project)
    exported = run(*POETRY, "export", "--only", "main", cwd=project.path, env=index_environment()).stdout
    for machine in MACHINES:
        found, wanted = chosen(project, machine, monkeypatch), entries(exported, python, machine)
        assert {name: words[2] for name, words in found.items()} == {
            name: version for name, (version, _) in wanted.items()
        }
        assert all(words[4] in wanted[name][1] for name, words in found.items())
        assert "orjson" not in found
        assert ("tzdata" in found) == (change is with_extras and machine == "aarch64")
        # Of its 100 wheels, the one for this Python and machine.
        assert re.search(f"-cp{python.replace('.', '')}-manylinux.*_{machine}.*whl", found["pydantic-core"][3])


@pytest.mark.quick
def test_a_package_goes_into_a_layer_by_its_name_alone(bake: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bake()
    all_of_it = chosen(project, "x86_64", monkeypatch)
    assert len({words[0] for words in all_of_it.values()}) > 3
    text = project.read("poetry.lock")
    project.write("poetry.lock", re.sub(r'(?s)\[\[package\]\]\nname = "httptools".*?(?=\[\[package\]\])', "", text))
    assert project.read("poetry.lock") != text
    del all_of_it["httptools"]
    assert chosen(project, "x86_64", monkeypatch) == all_of_it
    # The Dockerfile has a stage for each layer, and none for a layer that there is not.
    assert re.findall(r"(?m)^FROM tools AS packages-(\d+)$", project.read("Dockerfile")) == lock.LAYERS


def test_a_package_without_a_wheel(bake: Bake) -> None:
    project = bake(service_type="worker")
    add_dependency(project, "docopt==0.6.2")  # published as a source archive only
    relock(project)
    done = lock_script(project)
    assert done.returncode == 1
    assert "docopt==0.6.2 has no wheel for this Python" in done.stderr
    assert "answer build_image=full" in done.stderr
    assert not (project.path / "lock").exists()
    assert lock_script(project, "--build").returncode == 0
    (line,) = project.read("lock/packages-built.txt").splitlines()
    assert line.split()[:3] == ["docopt", "0.6.2", "docopt-0.6.2.tar.gz"]


# Modules that a script of the image build imports, by the package that they are from.
LOADED = """
import sys
from importlib.metadata import packages_distributions
before = {*sys.modules}
import build.lock, build.packages
owners = packages_distributions()
names = {name.partition(".")[0] for name in {*sys.modules} - before}
print(*sorted({owner for name in names - {"build"} for owner in owners.get(name, ())}))
"""


@pytest.mark.quick
def test_the_image_installs_what_the_scripts_import() -> None:
    """Of 56 packages in Poetry's pins; when a new Poetry imports another one, tools.py has to name it."""
    loaded = run(sys.executable, "-c", LOADED, env={"PYTHONPATH": str(TEMPLATE / "tools")}).stdout.split()
    assert loaded == list(tools.NAMES)


LOCKS: dict[str, Callable[[str], str | None]] = {
    "poetry.lock is missing": lambda _: None,
    "does not fit pyproject.toml": lambda text: re.sub('content-hash = "..', 'content-hash = "xx', text),
    "older than 2.0": lambda text: text.replace('lock-version = "2.1"', 'lock-version = "2.0"'),
    "can't be read": lambda text: text + "[",
    "locked to git": lambda text: text.replace(
        "\n[metadata]", '\n[package.source]\ntype = "git"\nurl = "https://git.example.com/x"\n\n[metadata]'
    ),
}


@pytest.mark.quick
@pytest.mark.parametrize("words", LOCKS)
def test_a_lock_that_can_not_be_installed_is_refused(bake: Bake, words: str) -> None:
    project = bake()
    text = LOCKS[words](project.read("poetry.lock"))
    if text is None:
        (project.path / "poetry.lock").unlink()
    else:
        assert text != project.read("poetry.lock")
        project.write("poetry.lock", text)
    done = lock_script(project)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(project.path.glob("lock/packages-*"))


IGNORED = {
    "build": '{ script = "build.py" }',
    "exclude": '["data/**"]',
    "include": '[{ path = "data", format = ["sdist", "wheel"] }]',
}


@pytest.mark.quick
@pytest.mark.parametrize("setting", ["build", "exclude", "packages"])
def test_a_setting_that_the_image_would_ignore_is_refused(bake: Bake, setting: str) -> None:
    project = bake()
    if setting == "packages":
        runtime = '{ include = "service_runtime", from = "src" }'
        project.replace("pyproject.toml", runtime, runtime.replace(" }", ', to = "elsewhere" }'))
    else:
        value = IGNORED[setting]
        project.replace("pyproject.toml", "\n[tool.poetry]\n", f"\n[tool.poetry]\n{setting} = {value}\n")
    done = lock_script(project)
    assert done.returncode == 1
    assert f"tool.poetry has {setting}, but the image takes src/ as it is" in done.stderr
    assert not list(project.path.glob("lock/packages-*"))


@pytest.mark.quick
def test_a_program_that_is_a_file_is_refused(bake: Bake) -> None:
    project = bake()
    project.append("pyproject.toml", '\n[tool.poetry.scripts]\nreport = { reference = "bin/report", type = "file" }\n')
    done = lock_script(project)
    assert done.returncode == 1
    assert "tool.poetry.scripts has a file for report" in done.stderr
    assert not list(project.path.glob("lock/packages-*"))


@pytest.mark.quick
@pytest.mark.parametrize("include", ['["data"]', '[{ path = "tests", format = "sdist" }]'])
def test_what_changes_source_archives_only_is_no_matter_of_the_image(bake: Bake, include: str) -> None:
    project = bake()
    project.replace("pyproject.toml", "\n[tool.poetry]\n", f"\n[tool.poetry]\ninclude = {include}\n")
    assert lock_script(project).returncode == 0


@pytest.mark.quick
def test_metadata_that_can_not_be_made_is_explained(bake: Bake) -> None:
    project = bake()
    project.replace("pyproject.toml", '\nreadme = "README.md"\n', '\nreadme = "NOTHING.md"\n')
    done = lock_script(project)
    assert done.returncode == 1
    assert "metadata can't be made" in done.stderr
    assert "NOTHING.md" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.quick
def test_a_broken_pyproject_is_named(bake: Bake) -> None:
    project = bake()
    project.write("pyproject.toml", project.read("pyproject.toml") + "[")
    done = lock_script(project)
    assert done.returncode == 1
    assert done.stderr.startswith("pyproject.toml can't be read: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.quick
def test_packages_of_another_index_name_it(bake: Bake) -> None:
    project = bake()
    source = '\n[package.source]\ntype = "legacy"\nurl = "https://pypi.example.com/simple"\nreference = "ours"\n'
    project.replace("poetry.lock", "\n[metadata]", f"{source}\n[metadata]")
    assert lock_script(project).returncode == 0
    lines = [line for path in project.path.glob("lock/packages-*") for line in path.read_text().splitlines()]
    assert [line.split()[4] for line in lines if "https:" in line] == ["https://pypi.example.com/simple"]
