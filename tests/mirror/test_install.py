"""The mirror switch on the developer's machine: `make install`, `make lock`."""

import os
from pathlib import Path

from scripts.locks import POETRY
from tests.helpers.machine import index_environment, interpreters, lab
from tests.helpers.mirror import HOST, lines, recording_proxy, upstream_host
from tests.helpers.project import Bake, run
from tests.lab.unruly import Unruly, refusing


def test_install_and_lock_go_through_the_mirror(bake: Bake, mirror: Unruly, tmp_path: Path) -> None:
    version, python = next(iter(interpreters().items()))
    project = bake(python_version=version, service_type="worker")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + Path(lab()["LAB_CA"]).read_bytes())
    env = {
        "PYTHON": str(python),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "SSL_CERT_FILE": str(bundle),
        "POETRY_CACHE_DIR": str(tmp_path / "cache"),
    }
    through = {**env, "PYPI_MIRROR": mirror.pypi, "MIRROR_FALLBACK": "0", "UV_NO_CACHE": "1"}
    project.make("install", env=through)
    served = {path.rsplit("/", 1)[1].split("-")[0] for path in mirror.requests if path.endswith(".whl")}
    assert served >= {"uv", "poetry_core", "pydantic", "ruff"}

    shipped = project.read("poetry.lock")
    declared = project.read("pyproject.toml")
    locks = []
    for index in (mirror.pypi, index_environment()["PYPI_MIRROR"]):
        (project.path / "poetry.lock").unlink()
        mirror.requests.clear()
        project.make("lock", env={**through, "PYPI_MIRROR": index})
        assert bool(mirror.requests) == (index == mirror.pypi)
        locks.append(project.read("poetry.lock"))
    assert locks[0] == locks[1]
    for text in (*locks, shipped, declared):
        assert HOST not in text
        assert "[package.source]" not in text
    assert project.read("pyproject.toml") == declared

    # A mirror that fails is not replaced by upstream: nothing would tell whose package that is.
    dead = f"{refusing(HOST)}/pypi/simple/"
    with recording_proxy() as (proxy, hosts):
        (project.path / "poetry.lock").unlink()
        env["POETRY_CACHE_DIR"] = str(tmp_path / "nothing-cached")
        cut_off = {**env, "HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": HOST, "no_proxy": HOST}
        done = project.make("lock", env={**cut_off, "PYPI_MIRROR": dead}, check=False)
    assert done.returncode != 0
    assert lines(done, dead, "giving up")
    assert not hosts

    # Unless told otherwise, Poetry asks upstream itself: the host that pip has for its default, through no mirror.
    mirror.requests.clear()
    with recording_proxy() as (proxy, hosts):
        env |= {"HTTPS_PROXY": proxy, "https_proxy": proxy}
        assert project.make("lock", env=env, check=False).returncode != 0  # this proxy lets nothing through
    assert hosts == {upstream_host()}
    assert not mirror.requests


def test_poetry_works_without_its_mirror_plugin(bake: Bake) -> None:
    """A project asks for no plugin, so anybody's Poetry can use it, and goes to upstream by itself."""
    project = bake()
    plain_poetry = ("poetry", "--no-plugins")
    assert "All set!" in run(*plain_poetry, "check", "--lock", cwd=project.path).stdout
    with recording_proxy() as (proxy, hosts):
        locking = (*POETRY, "--no-plugins", "lock", "--regenerate")
        run(*locking, cwd=project.path, env={"HTTPS_PROXY": proxy, "https_proxy": proxy}, check=False)
    assert hosts == {upstream_host()}
