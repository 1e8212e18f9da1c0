"""The project's own layer, against the wheel that Poetry would build."""

import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import reproduce
from scripts.locks import POETRY
from tests.helpers.engine import Engine, fails, python
from tests.helpers.machine import index_environment
from tests.helpers.project import Bake, Project, run
from tests.helpers.services import let_through

SITE = re.compile(r"^app/\.venv/lib/python3\.\d+/site-packages/")
APP = ("--target", "app")


def rearrange(project: Project) -> None:
    """Use what Poetry's manual offers: scripts, entry points, other places and names, files, a dynamic version."""
    project.replace("pyproject.toml", '\nversion = "0.1.0"\n', '\ndynamic = ["version"]\n')
    project.replace(
        "pyproject.toml",
        '    { include = "service_runtime", from = "src" },\n]\n',
        '    { include = "service_runtime", from = "src" },\n'
        '    { include = "lib_*", from = "src/more", to = "inner" },\n    { include = "single.py", from = "src" },\n]\n'
        'version = "3.2.1"\nexclude = ["src/*/secret.txt"]\n'
        'include = [{ path = "data/prices.json", format = ["sdist", "wheel"] }]\n',
    )
    project.append(
        "pyproject.toml",
        f'\n[project.scripts]\nreport = "{project.package}.report:main"\n'
        f'\n[project.entry-points."team.plugins"]\nown = "{project.package}.report"\n',
    )
    project.write(f"src/{project.package}/report.py", "def main():\n    print('reported')\n    return 3\n")
    project.write(f"src/{project.package}/secret.txt", "")
    project.write("src/more/lib_one/__init__.py", "")
    project.write("src/single.py", "")
    project.write("data/prices.json", "{}")
    let_through(project, "data")


def as_rendered(project: Project) -> None:
    for name in ("data, with a comma.json", "inner/__init__.py", "inner/deep/data.bin"):
        project.write(f"src/{project.package}/{name}", "")
    (project.path / f"src/{project.package}/link.txt").symlink_to("app.py")


def layer(engine: Engine, project: Project, folder: Path) -> tuple[str, dict[str, bytes]]:
    """Build the project's image; return it, and path -> content of the files in its last layer."""
    image, _ = engine.build(project)
    with tarfile.open(reproduce.layers(image, folder)[-1]) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive if entry.isfile()}
        return image, {name: file.read() for name, file in files.items() if file}


@pytest.mark.parametrize("change", [as_rendered, rearrange])
def test_the_layer_is_what_the_wheel_installs(bake: Bake, engine: Engine, tmp_path: Path, change: object) -> None:
    """With bytecode for each module, and a program for each script, nothing else."""
    project = bake(service_type="worker" if change is rearrange else "fastapi")
    (rearrange if change is rearrange else as_rendered)(project)
    image, found = layer(engine, project, tmp_path)
    run(*POETRY, "build", "--format", "wheel", cwd=project.path, env=index_environment())
    (file,) = (project.path / "dist").iterdir()
    with zipfile.ZipFile(file) as wheel:
        wanted = {name: wheel.read(name) for name in wheel.namelist()}

    installed = {SITE.sub("", name): data for name, data in found.items() if SITE.match(name)}
    modules = {re.sub(r"__pycache__/(\w+)\.cpython-\d+\.pyc$", r"\1.py", name) for name in installed}
    assert modules == wanted.keys()
    assert {name for name in modules if name.endswith(".py")} == {
        re.sub(r"__pycache__/(\w+)\.cpython-\d+\.pyc$", r"\1.py", name) for name in installed if name.endswith(".pyc")
    }
    assert {name for name in wanted if wanted[name] != installed[name]} == {
        name for name in wanted if name.endswith("/RECORD")
    }
    others = {name for name in found if not SITE.match(name)}
    if change is as_rendered:
        assert others == set()
        return
    assert others == {"app/.venv/bin/report", "app/data/prices.json"}
    assert not [name for name in installed if "secret" in name]
    done = engine.docker("run", "--rm", "--entrypoint", "/app/.venv/bin/report", image, check=False)
    assert (done.returncode, done.stdout) == (3, "reported\n")
    code = (
        "from importlib import metadata; import inner.lib_one, single\n"
        f"print(metadata.version('{project.answers['project_slug']}'),"
        " *(point.load().__name__ for point in metadata.entry_points(group='team.plugins')))"
    )
    assert python(engine, image, code).split() == ["3.2.1", f"{project.package}.report"]


def test_files_beside_the_sources(bake: Bake, engine: Engine, tmp_path: Path) -> None:
    """They lie below /app as they are in the project, with bytecode for what is Python."""
    project = bake(service_type="worker")
    let_through(project, "config", "settings.ini")
    for name, text in {"prices.json": "{}", "hook.py": "X = 1\n", "run.sh": "#!/bin/sh\necho run\n"}.items():
        project.write(f"config/{name}", text)
    (project.path / "config/run.sh").chmod(0o755)
    project.write("config/__pycache__/hook.cpython-311.pyc", "not of this build")
    project.write("settings.ini", "[all]")
    (project.path / "config/link").symlink_to("../settings.ini")
    image, found = layer(engine, project, tmp_path)
    beside = {name for name in found if not name.startswith("app/.venv/")}
    bytecode = {name for name in beside if name.endswith(".pyc")}
    assert beside - bytecode == {
        f"app/{name}" for name in ("config/prices.json", "config/hook.py", "config/run.sh", "settings.ini")
    }
    assert {path.rpartition("/")[0] for path in bytecode} == {"app/config/__pycache__"}
    assert b"not of this build" not in found.values()
    done = engine.docker("run", "--rm", "--entrypoint", "sh", image, "-c", "config/run.sh && cat config/link")
    assert done.stdout == "run\n[all]"


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("src/shared", "../../../libs/shared"),  # another folder of a monorepo
        ("src/tools", "../../tools/image"),  # in the build there is something
        ("config/zone", "/etc/localtime"),
        ("config/tests", "../tests/conftest.py"),  # .dockerignore keeps it out
    ],
)
def test_a_link_that_leads_out_of_the_build_context_is_named(
    bake: Bake, engine: Engine, place: str, target: str
) -> None:
    project = bake()
    let_through(project, "config")
    (project.path / place).parent.mkdir(exist_ok=True)
    (project.path / place).symlink_to(target)
    words = re.escape(f"links that lead out of the build context: {place} -> {target}. Copy what")
    fails(engine, project, words, options=APP)


def take_a_place(project: Project) -> None:
    let_through(project, ".venv")
    project.write(".venv/pyvenv.cfg", "")


def break_sources(project: Project) -> None:
    for name in ("app", "settings"):
        project.write(f"src/{project.package}/{name}.py", "def broken(:\n")


def name_no_readme(project: Project) -> None:
    project.replace("pyproject.toml", '\nreadme = "README.md"\n', '\nreadme = "NOTHING.md"\n')


def take_another_backend(project: Project) -> None:
    project.replace("pyproject.toml", '"poetry.core.masonry.api"', '"hatchling.build"')


def include_nothing(project: Project) -> None:
    project.replace("pyproject.toml", 'include = "service_runtime"', 'include = "nowhere"')


WRONG = [
    (take_a_place, [r"\.dockerignore lets \.venv into the image, which has its own in that place: rename it"]),
    (
        break_sources,
        [r'_service/app\.py", line 1', r'_service/settings\.py", line 1', "SyntaxError", "does not end in .py"],
    ),
    (name_no_readme, [r"pyproject\.toml: the project can't be built: .*NOTHING\.md"]),
    (take_another_backend, [r"build-backend is 'hatchling\.build'; allowed: 'poetry\.core\.masonry\.api'"]),
    (include_nothing, [r"pyproject\.toml: the project can't be built: .*nowhere"]),
]


@pytest.mark.parametrize(("change", "patterns"), WRONG, ids=[change.__name__ for change, _ in WRONG])
def test_a_project_that_can_not_be_installed_is_explained(
    bake: Bake, engine: Engine, change: object, patterns: list[str]
) -> None:
    project = bake()
    assert callable(change)
    change(project)
    for pattern in patterns:
        fails(engine, project, pattern, options=APP)
    _, done = engine.build(project, *APP, check=False)
    assert "Traceback" not in done.stderr
