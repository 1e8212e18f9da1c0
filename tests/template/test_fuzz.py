"""No answer is dangerous: it is refused and leaves nothing, or what it renders parses and says just that answer.

`make test` takes 500 sets of answers, the same ones each time; `make fuzz` takes 10,000 others and prints its seed.
"""

import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unicodedata import normalize

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from poetry.core.factory import Factory
from poetry.core.masonry.metadata import Metadata

from tests.helpers import answers as fuzz
from tests.helpers.project import run

SETS = int(os.environ.get("FUZZ_SETS", "500"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
IN_MEMORY = "/dev/shm"  # where thousands of renders write nothing to a disk
LABEL = re.compile(r'org\.opencontainers\.image\.(\w+)="((?:[^"\\$]|\\["\\$])*)" \\\n')
WAYS = ("given", "replayed")
SHARES = 2  # each is a test, so that two processes share the work
Render = Callable[[Mapping[str, Any], Path], Path | str]
THE_TEMPLATES = ("tools", "src/service_runtime")  # files that are the same whatever the answers are


@lru_cache(maxsize=256)
def parsed(suffix: str, text: str) -> Any:
    """Return what a file holds; most are the same for many sets of answers."""
    if suffix == ".py":
        return compile(text, "a file", "exec")
    if suffix in (".toml", ".lock"):
        return tomllib.loads(text)
    if suffix in (".yml", ".yaml"):
        return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return json.loads(text)


def read_all(project: Path) -> dict[str, Any]:
    """Return relative path -> content of the files that have a format; raise for one that can't be parsed."""
    found = {}
    for path in project.rglob("*"):
        name = path.relative_to(project).as_posix()
        if path.suffix in (".py", ".toml", ".lock", ".yml", ".yaml", ".json") and not name.startswith(THE_TEMPLATES):
            found[name] = parsed(path.suffix, path.read_text(encoding="utf-8"))
    return found


def imports(project: Path, package: str) -> None:
    """Import the project's package, as if no other one had its name; what it imports itself stays loaded."""

    def of_that_name() -> dict[str, ModuleType]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == package}

    others = of_that_name()
    for name in others:
        del sys.modules[name]
    sys.path.insert(0, str(project / "src"))
    try:
        assert importlib.import_module(f"{package}.__main__").__file__ == str(project / f"src/{package}/__main__.py")
    finally:
        sys.path.remove(str(project / "src"))
        for name in of_that_name():
            del sys.modules[name]
        sys.modules.update(others)


def check(project: Path, answers: Mapping[str, str]) -> str:
    """Check that a rendered project is sound, and that the answers read back equal; return its labels' instruction."""
    slug, package, author = answers["project_slug"], answers["package_name"], answers["author_name"]
    contents = read_all(project)
    table = contents["pyproject.toml"]
    licence = answers["license"].replace("Proprietary", "LicenseRef-Proprietary")
    assert table["project"]["name"] == slug
    assert table["project"]["description"] == answers["description"]
    assert table["project"]["license"] == licence
    assert table["project"]["authors"] == [{"name": author, "email": answers["author_email"]}]
    assert table["tool"]["poetry"]["packages"][0]["include"] == package
    # As `poetry check` sees it, and the wheel's metadata.
    poetry = Factory().create_poetry(project)
    assert Factory.validate(poetry.pyproject.data, strict=True) == {"errors": [], "warnings": []}
    metadata = Metadata.from_package(poetry.package)
    assert (metadata.name, metadata.summary) == (slug, answers["description"])
    # Poetry writes what Unicode counts as the same text in its composed form.
    assert (metadata.author, metadata.author_email) == (normalize("NFC", author), answers["author_email"])

    (compose,) = contents["compose.yaml"]
    assert compose["services"][slug]["image"] == f"${{IMAGE:-{slug}}}"
    assert {resource["metadata"]["name"] for resource in contents["deploy/base/kubernetes.yaml"]} == {slug}
    dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
    labels = {name: re.sub(r"\\(.)", r"\1", text) for name, text in LABEL.findall(dockerfile)}
    assert labels == {"title": slug, "description": answers["description"], "licenses": licence}
    assert f'\nCMD ["{package}"]\n' in dockerfile

    title, _, description, _, *_ = (project / "README.md").read_text(encoding="utf-8").split("\n")
    assert (title, description) == (f"# {answers['project_name']}", answers["description"])
    text = (project / "LICENSE").read_text(encoding="utf-8")
    assert answers["license"] == "Apache-2.0" or f"\nCopyright (c) {author}" in f"\n{text}"
    owners = (project / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    assert {line.split()[1] for line in owners if line[:1] in ("*", "/")} == {answers["author_email"]}
    imports(project, package)
    return dockerfile[dockerfile.index("\nLABEL ") :]


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize(
    ("render", "sets"), [(fuzz.given, fuzz.sets_of_answers()), (fuzz.replayed, fuzz.recorded_answers())], ids=WAYS
)
def test_no_answer_is_dangerous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, render: Render, sets: st.SearchStrategy[Any], share: int
) -> None:
    canary, work = tmp_path / "canary", Path(tempfile.mkdtemp(dir=IN_MEMORY if Path(IN_MEMORY).exists() else None))
    monkeypatch.setenv("CANARY", str(canary))
    labels: list[str] = []
    refusals: list[str] = []

    @seed(SEED * SHARES + share)
    @settings(
        max_examples=SETS // (SHARES * len(WAYS)),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(answers=sets)
    def one(answers: dict[str, Any]) -> None:
        shutil.rmtree(work, ignore_errors=True)
        folder = work / "deep/er"  # than a path in an answer leads out of
        folder.mkdir(parents=True)
        done = render(answers, folder)
        assert not canary.exists()
        left = [path for path in work.rglob("*") if path != work / "replay.json"]
        if isinstance(done, Path):
            assert list(folder.iterdir()) == [done]
            labels.append(check(done, answers))
        else:
            refusals.append(done)
            assert not [path for path in left if path.is_file() and path.name != "replay.json"]
            # cookiecutter makes the folders above that of the project, and leaves them.
            assert list(folder.iterdir()) == [] or "/" in str(answers["project_slug"])

    for module in ("loop", "server"):  # from here, not from a project that is gone a moment later
        importlib.import_module(f"service_runtime.{module}")
    with fuzz.in_this_process():
        one()
    shutil.rmtree(work)
    assert labels, "all sets were refused"
    assert refusals, "all sets were taken"
    (tmp_path / "Dockerfile").write_text("FROM scratch" + "".join(labels))
    run("hadolint", "--ignore=DL3048", tmp_path / "Dockerfile")
