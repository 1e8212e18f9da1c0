"""tools/build/lock.py, against Poetry's own export."""

import re
from collections.abc import Callable

import pytest
from packaging.requirements import Requirement

from scripts.locks import POETRY
from tests.helpers.combinations import CHOICES
from tests.helpers.machine import index_environment
from tests.helpers.project import Bake, Project, add_dependency, lock_script, relock, run

Entries = dict[str, tuple[str, set[str], list[bool]]]


def entries(text: str, python: str) -> Entries:
    """Return name -> version, hashes, and on which machines a requirements file wants the package."""
    found = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        wanted = Requirement(line.partition(" --hash=")[0])
        version = {"python_version": python, "python_full_version": f"{python}.0"}
        machines = [{**version, "platform_machine": name} for name in ("x86_64", "aarch64")]
        applies = [wanted.marker is None or wanted.marker.evaluate(dict(machine)) for machine in machines]
        found[wanted.name] = (str(wanted.specifier), set(re.findall(r"--hash=(\S+)", line)), applies)
    return {name: entry for name, entry in found.items() if any(entry[2])}


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
def test_lock_is_read_as_poetry_export_reads_it(bake: Bake, python: str, change: Callable[[Project], None]) -> None:
    project = bake(python_version=python)
    change(project)
    done = lock_script(project)
    assert done.returncode == 0, done.stderr
    exported = run(*POETRY, "export", "--only", "main", cwd=project.path, env=index_environment()).stdout
    wanted = entries(project.read("wanted.txt"), python)
    assert wanted == entries(exported, python)
    assert "orjson" not in project.read("wanted.txt")
    assert ("tzdata" in wanted) == (change is with_extras)
    assert all(hashes for _, hashes, _ in wanted.values())


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
    assert not (project.path / "wanted.txt").exists()


@pytest.mark.quick
@pytest.mark.parametrize("setting", ["build", "exclude", "include", "packages"])
def test_a_setting_that_the_image_would_ignore_is_refused(bake: Bake, setting: str) -> None:
    project = bake()
    if setting == "packages":
        runtime = '{ include = "service_runtime", from = "src" }'
        project.replace("pyproject.toml", runtime, runtime.replace(" }", ', to = "elsewhere" }'))
    else:
        value = '{ script = "build.py" }' if setting == "build" else '["data/**"]'
        project.replace("pyproject.toml", "\n[tool.poetry]\n", f"\n[tool.poetry]\n{setting} = {value}\n")
    done = lock_script(project)
    assert done.returncode == 1
    assert f"tool.poetry has {setting}, but the image takes src/ as it is" in done.stderr
    assert not (project.path / "wanted.txt").exists()


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
    project.write("poetry.lock", project.read("poetry.lock").replace("\n[metadata]", f"{source}\n[metadata]"))
    assert lock_script(project).returncode == 0
    lines = project.read("wanted.txt").splitlines()
    assert [line for line in lines if "url" in line] == ["--extra-index-url https://pypi.example.com/simple"]
