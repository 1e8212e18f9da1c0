"""scripts/reproduce.py: an image of a while ago is built again, bit for bit; and what was changed in one is named."""

import io
import sys
import tarfile
import uuid
from pathlib import Path

import pytest

from scripts import reproduce
from tests.ci.conftest import Registry
from tests.helpers.engine import Engine
from tests.helpers.project import Bake, run

LABELS = {
    "revision": "4e1243bd22c66e76c2ba9eddc1f91394e57f9f83",
    "base.name": "registry.example.com:5000/library/python:3.14-slim-trixie",
    "base.digest": "sha256:0",
    "source": "https://example.com/team/service",
    "version": "1.2.0",
    "created": "2026-01-01T00:00:00+00:00",
}


def entry(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    """Return an entry of a layer, with facts other than the usual ones."""
    found = tarfile.TarInfo(name)
    found.type, found.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
    for fact, value in facts.items():
        setattr(found, fact, value)
    return found


def layer(path: Path, *entries: tarfile.TarInfo, content: bytes = b"code") -> Path:
    """Write a layer."""
    with tarfile.open(path, "w") as archive:
        for one in entries:
            one.size = len(content) if one.isreg() else 0
            archive.addfile(one, io.BytesIO(content))
    return path


BELOW = [entry("app/", tarfile.DIRTYPE), entry("app/app.py"), entry("app/link", tarfile.SYMTYPE, linkname="app.py")]
MODULE = "app/app.py"
# What a layer has in place of the last of these, or beside them, and what is said of it.
PLANTED: dict[str, tuple[list[tarfile.TarInfo], bytes, str]] = {
    "content": ([entry(MODULE)], b"evil", f"/{MODULE}: content is "),
    "mode": ([entry(MODULE, mode=0o4755)], b"code", f"/{MODULE}: mode is 0o4755 in the image, and 0o644 when"),
    "owner": ([entry(MODULE, uid=10001)], b"code", f"/{MODULE}: owner is 10001:0 in the image"),
    "group": ([entry(MODULE, gid=10001)], b"code", f"/{MODULE}: owner is 0:10001 in the image"),
    "time": ([entry(MODULE, mtime=9)], b"code", f"/{MODULE}: time is 9 in the image"),
    "attribute": ([entry(MODULE, pax_headers={"SCHILY.xattr.user.x": "1"})], b"code", f"/{MODULE}: attributes is "),
    "target": ([entry("app/link", tarfile.SYMTYPE, linkname="/bin/sh")], b"", "/app/link: target is /bin/sh in"),
    "type": ([entry(MODULE, tarfile.SYMTYPE, linkname="x")], b"", f"/{MODULE}: type is "),
    "new file": ([entry("app/", tarfile.DIRTYPE, mtime=9), entry("app/new.py")], b"", "/app/new.py: only in the image"),
    "deleted file": ([entry("app/.wh.app.py")], b"", "/app/.wh.app.py: only in the image"),
    "folder's mode": ([entry("app/", tarfile.DIRTYPE, mode=0o777)], b"", "/app: mode is 0o777 in the image"),
}


@pytest.mark.quick
@pytest.mark.parametrize("change", PLANTED)
def test_a_planted_change_is_named(change: str, tmp_path: Path) -> None:
    entries, content, said = PLANTED[change]
    names = {one.name.strip("/") for one in entries}
    good = reproduce.files([layer(tmp_path / "good.tar", *BELOW)])
    others = [one for one in BELOW if one.name.strip("/") not in names]
    planted = layer(tmp_path / "planted.tar", *entries, content=content)
    changed = reproduce.files([layer(tmp_path / "others.tar", *others), planted])
    assert reproduce.difference(good, good) == ""
    assert reproduce.difference(good, changed).startswith(said)


@pytest.mark.quick
def test_build_arguments_are_those_of_the_labels() -> None:
    labels = {reproduce.LABEL + name: value for name, value in LABELS.items()}
    assert reproduce.build_arguments(labels) == {
        "REGISTRY": "registry.example.com:5000/library",
        "PYTHON_VERSION": "3.14",
        "DEBIAN_SUITE": "trixie",
        "BASE_DIGEST": "sha256:0",
        "SOURCE": "https://example.com/team/service",
        "VERSION": "1.2.0",
        "REVISION": LABELS["revision"],
        "CREATED": "2026-01-01T00:00:00+00:00",
        "SOURCE_DATE_EPOCH": "1767225600",
    }


@pytest.mark.quick
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("revision", "", "not built by `make image` from a commit: no revision"),
        ("revision", f"{LABELS['revision']}-dirty", f"from a commit: {LABELS['revision']}-dirty"),
        ("revision", "--upload-pack=x", "from a commit: --upload-pack=x"),
        ("base.name", "", "not built by `make image`"),
        ("base.digest", "", "the image does not say on which base image it was built"),
    ],
)
def test_an_image_that_does_not_tell_enough(
    name: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {reproduce.LABEL + name: value for name, value in {**LABELS, name: value}.items()}
    with pytest.raises(SystemExit, match="2"):
        reproduce.build_arguments(labels)
    assert message in capsys.readouterr().err


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name one image"), (["x"], "there is no nowhere on the PATH")],
    ids=["use", "engine"],
)
def test_what_can_not_be_told(arguments: list[str], message: str) -> None:
    done = run(sys.executable, reproduce.__file__, *arguments, env={"DOCKER": "nowhere"}, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_an_image_of_last_month(bake: Bake, engine: Engine, registry: Registry, tmp_path: Path) -> None:
    """Since then the base image was refreshed, the project went on, and its packages come from another place."""
    project = bake(service_type="worker", project_slug="reproduced")
    suite = engine.suites[project.answers["python_version"]]
    tag = f"python:{project.answers['python_version']}-slim-{suite}"
    place = f"{registry.address}/reproduce-{uuid.uuid4().hex[:8]}"
    image = f"{place}/service"
    engine.images += [f"{place}/{tag}", f"{image}:old", f"{image}:altered"]
    engine.docker("tag", tag, f"{place}/{tag}")
    engine.docker("push", "--quiet", f"{place}/{tag}")

    run("git", "init", "--quiet", cwd=project.path)
    run("git", "remote", "add", "origin", "https://example.com/team/reproduced.git", cwd=project.path)
    commit = ("git", "commit", "--quiet", "--all", "--message=x")
    run("git", "add", "--all", cwd=project.path)
    run(*commit, cwd=project.path)
    flags = {"BUILD_FLAGS": " ".join(engine.build_flags)}
    project.make("image", f"IMAGE={image}:old", env={**flags, "REGISTRY": place, "DEBIAN_SUITE": suite})
    engine.docker("push", "--quiet", f"{image}:old")
    engine.docker("rmi", "--force", f"{image}:old", f"{place}/{tag}")

    (tmp_path / "Dockerfile").write_text(f"FROM {tag}\nCOPY Dockerfile /refreshed\n")
    engine.docker("build", "--quiet", "--tag", f"{place}/{tag}", str(tmp_path))
    engine.docker("push", "--quiet", f"{place}/{tag}")
    project.append(f"src/{project.package}/worker.py", "\n# A change.\n")
    run(*commit, cwd=project.path)

    env = {**flags, "PYPI_MIRROR": "", "DEBIAN_MIRROR": ""}
    done = run(sys.executable, reproduce.__file__, f"{image}:old", cwd=project.path, env=env)
    assert done.stdout.splitlines()[-1].startswith(f"identical: {image}:old, from commit ")

    site = f"/app/.venv/lib/python{project.answers['python_version']}/site-packages"
    module = f"{site}/{project.package}/worker.py"
    (tmp_path / "Dockerfile").write_text(f"FROM {image}:old\nUSER root\nRUN echo >>{module}\nUSER 10001:10001\n")
    engine.docker("build", "--quiet", "--tag", f"{image}:altered", str(tmp_path))
    assert f": {module}: only in the image" in reproduce.compare(f"{image}:old", f"{image}:altered")
    (tmp_path / "Dockerfile").write_text(f"FROM {image}:old\nENV LOG_LEVEL=DEBUG\n")
    engine.docker("build", "--quiet", "--tag", f"{image}:altered", str(tmp_path))
    assert reproduce.compare(f"{image}:old", f"{image}:altered").startswith("Env is ")
    assert reproduce.compare(f"{image}:old", f"{image}:old") == ""
