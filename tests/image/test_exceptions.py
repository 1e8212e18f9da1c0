"""What a service may need beyond the ordinary: by a line in pyproject.toml or docker/, or refused with a line."""

import re
import shutil
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import pytest

from build import mirror
from tests.helpers.machine import index_environment, lab, unavailable
from tests.helpers.project import Bake, Project, add_dependency, build_script, lock_script, relock, run


def set_image(project: Project, setting: str, value: str) -> None:
    """Give a setting of [tool.image] a value."""
    project.replace("pyproject.toml", f"\n{setting} = []\n", f"\n{setting} = {value}\n")


def address_of(name: str) -> str:
    """Return the address of a package's newest wheel for all machines on the lab's mirror."""
    page = f"{index_environment()['PYPI_MIRROR']}{name}/"
    with urllib.request.urlopen(page, timeout=60) as answer:
        links = [link for link in mirror.links(answer.read()) if mirror.file_name(link).endswith("-none-any.whl")]
    return urljoin(page, links[-1]).partition("#")[0]


def test_a_package_from_an_address_and_one_with_its_tests(bake: Bake, tmp_path: Path) -> None:
    """Installed as in the image; its Python has to be the one that runs this."""
    if not lab():
        unavailable("this test needs an address on the lab's mirror, and the lab is not in use")
    project = bake(service_type="worker", python_version=f"3.{sys.version_info.minor}")
    for requirement in ("simplejson", f"iniconfig @ {address_of('iniconfig')}"):
        add_dependency(project, requirement)
    set_image(project, "with-tests", '["simplejson"]')
    relock(project)
    assert lock_script(project).returncode == 0
    shutil.copy(project.path / "lock/with-tests.txt", tmp_path)
    for path in project.path.glob("lock/packages-*"):
        arguments = ("wheels", path, f"layers/{path.stem}", "cache")
        done = build_script(project, "packages", *arguments, cwd=tmp_path, **index_environment())
        assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("layers/**/iniconfig/__init__.py"))
    assert [path.parent.name for path in tmp_path.glob("layers/**/tests")] == ["simplejson"]


@pytest.mark.parametrize(
    ("lines", "label"),
    [
        ('[project]\nversion = "1.0"\n[tool.other]\nversion = "2.0"\n', "1.0"),
        ('[tool.other]\nversion = "2.0"\n[project]\nname = "x"\nversion  =  \'1.0\' # so far\n', "1.0"),
        ('[project]\ndynamic = ["version"]\n[tool.other]\nversion = "2.0"\n[tool.poetry]\nversion = "3.0"\n', "3.0"),
        ('[project]\ndynamic = ["version"]\n[tool.poetry.requires-plugins]\nversion = "2.0"\n', ""),
    ],
)
def test_make_image_finds_the_version(bake: Bake, lines: str, label: str) -> None:
    project = bake()
    project.write("pyproject.toml", lines)
    printed = project.make("image", "DOCKER=echo").stdout
    assert re.findall(r"VERSION=(.*?) --build-arg REVISION", printed.splitlines()[-1]) == [label]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (
            "extras",
            '["fats"]',
            "tool.image.extras is ['fats']; allowed: a list of some of fast, slow",
        ),
        ("extras", '"fast"', "tool.image.extras is 'fast'; allowed: a list of some of fast, slow"),
        (
            "with-tests",
            '["numpy"]',
            "tool.image.with-tests is ['numpy']; allowed: a list of some of",
        ),
    ],
)
def test_a_wrong_setting_is_named(bake: Bake, setting: str, value: str, message: str) -> None:
    project = bake()
    extras = '\n[project.optional-dependencies]\nfast = ["pydantic"]\nslow = ["pydantic"]\n'
    project.append("pyproject.toml", extras)
    set_image(project, setting, value)
    relock(project)
    done = lock_script(project)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_is_named(bake: Bake) -> None:
    project = bake()
    project.replace("pyproject.toml", "\nextras = []\n", "\nextra = []\n")
    done = lock_script(project)
    assert done.returncode == 1
    assert done.stderr == "pyproject.toml: tool.image has extra; allowed: extras, with-tests\n"


SOURCES = {
    "git": ("https://git.example.com/x.git", "git", '"{name} @ https://.../archive/<commit>.tar.gz"'),
    "directory": (
        "../shared",
        "directory",
        'move its code into src/ and name it in tool.poetry.packages, { include = "',
    ),
    "file": ("../x.whl", "file", 'or name its address: "{name} @ https://..."'),
    "no web address": ("file:///x.whl", "url", 'or name its address: "{name} @ https://..."'),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_source_without_a_hash_is_refused_with_what_would_help(bake: Bake, case: str) -> None:
    url, kind, remedy = SOURCES[case]
    project = bake()
    source = f'\n[package.source]\ntype = "{kind}"\nurl = "{url}"\n'
    project.replace("poetry.lock", "\n[metadata]", f"{source}\n[metadata]")
    done = lock_script(project)
    assert done.returncode == 1
    (name,) = re.findall(rf"^(\S+) is locked to {kind} \S+, ", done.stderr)
    assert remedy.replace("{name}", name) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_address_is_taken_with_its_hash(bake: Bake, tmp_path: Path) -> None:
    """Straight from there; what is served with another content is an incident, like everywhere."""
    project = bake()
    last = re.findall(r'(?m)^name = "(.+)"\nversion = "(.+)"', project.read("poetry.lock"))[-1]
    wheel = f"{last[0].replace('-', '_')}-{last[1]}-py3-none-any.whl"
    text = project.read("poetry.lock")
    before, entry, after = text.partition(f'name = "{last[0]}"\n')
    entry, end, metadata = (entry + after).partition("\n[metadata]")
    files = f'files = [\n    {{file = "{wheel}", hash = "sha256:{"0" * 64}"}},\n]\n'
    entry = re.sub(r"(?s)files = \[.*?\n\]\n", files, entry)
    source = f'\n[package.source]\ntype = "url"\nurl = "{tmp_path.as_uri().replace("file", "http")}/{wheel}"\n'
    project.write("poetry.lock", before + entry + source + end + metadata)
    assert lock_script(project).returncode == 0
    lines = [line for path in project.path.glob("lock/packages-*") for line in path.read_text().splitlines()]
    (line,) = [line for line in lines if "http:" in line]
    assert line.split()[2:] == [wheel, f"sha256:{'0' * 64}", f"{source.split()[-1][1:-1]}"]


@pytest.mark.parametrize(
    ("include", "taken"),
    [
        ('["CHANGES.md"]', True),
        ('[{ path = "tests", format = "sdist" }]', True),
        ('[{ path = "tests", format = ["sdist"] }]', True),
        ('[{ path = "data", format = ["sdist", "wheel"] }]', False),
        ('[{ path = "data", format = "wheel" }]', False),
    ],
)
def test_what_only_the_source_archive_includes_is_accepted(bake: Bake, include: str, taken: bool) -> None:
    project = bake()
    project.replace("pyproject.toml", "\n[tool.poetry]\n", f"\n[tool.poetry]\ninclude = {include}\n")
    done = lock_script(project)
    assert done.returncode == (0 if taken else 1)
    assert taken or "tool.poetry has include, but the image takes src/ as it is" in done.stderr


def test_extras_are_read_as_poetry_export_reads_them(bake: Bake) -> None:
    project = bake(service_type="worker")
    extras = '\n[project.optional-dependencies]\nfast = ["sortedcontainers>=2"]\nunused = ["tabulate"]\n'
    project.append("pyproject.toml", extras)
    relock(project)
    found = []
    for value in ("[]", '["fast"]'):
        set_image(project, "extras", value)
        assert lock_script(project).returncode == 0
        lines = [line for path in project.path.glob("lock/packages-*") for line in path.read_text().splitlines()]
        found.append({line.split()[0] for line in lines})
        run("rm", "-r", "lock", cwd=project.path)
    assert found[1] - found[0] == {"sortedcontainers"}
    assert "tabulate" not in found[1]
