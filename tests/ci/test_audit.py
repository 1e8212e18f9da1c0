"""`make audit`: what it finds, what is excepted, and that no service that fails or lies gives a false green."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import audit
from tests.helpers.osv import Answer, Osv, Record, osv
from tests.helpers.project import Run, run

pytestmark = pytest.mark.quick
Look = Callable[[], Run]
LOCK = """
[[package]]
name = "some-package"
version = "1.0"
groups = ["main"]
[[package]]
name = "some-package"
version = "2.0"
groups = ["main", "dev"]
[[package]]
name = "jinja2"
version = "3.1.6"
groups = ["main"]
[[package]]
name = "only-dev"
version = "1.0"
groups = ["dev"]
"""


@pytest.fixture
def service() -> Iterator[Osv]:
    with osv() as found:
        yield found


@pytest.fixture
def look(service: Osv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """A function that audits the lock above."""
    (tmp_path / "poetry.lock").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text("[tool.image-audit.except]\n")
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(tmp_path), str(Path(audit.__file__).parent), os.environ.get("PYTHONPATH", "")])
    return lambda: run(
        sys.executable, audit.__file__, env={"OSV_URL": service.url, "PYTHONPATH": path}, check=False, cwd=tmp_path
    )


def test_nothing_is_found(service: Osv, look: Look) -> None:
    """The service is asked for the packages that ship, and for the one that is known to be bad."""
    service.add("GHSA-9", "only-dev", "1.0")
    done = look()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 packages, 0 vulnerabilities\n"
    assert service.asked == {("some-package", "1.0"), ("some-package", "2.0"), ("jinja2", "3.1.6"), audit.KNOWN_BAD}


def test_what_is_found(service: Osv, look: Look) -> None:
    service.add("GHSA-1", "some-package", "1.0", fixed="1.1", aliases=["CVE-2026-1"])
    service.add("GHSA-2", "some-package", "2.0")
    service.add("GHSA-3", "some-package", "2.0", withdrawn="2026-01-01T00:00:00Z")
    done = look()
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FOUND     some-package 1.0  CVE-2026-1 GHSA-1  fixed in 1.1: make lock UPGRADE=some-package",
        "FOUND     some-package 2.0  GHSA-2  fixed in no version: make lock UPGRADE=some-package",
        "3 packages, 2 vulnerabilities",
    ]


@pytest.mark.parametrize("name", ["GHSA-1", "CVE-2026-1"])
@pytest.mark.parametrize(("until", "status"), [("9999-12-31", 0), ("2026-01-01", 1)])
def test_an_exception_counts_until_its_last_day(name: str, until: str, status: int, service: Osv, look: Look) -> None:
    service.add("GHSA-1", "some-package", "1.0", aliases=["CVE-2026-1"])
    text = f'[tool.image-audit.except]\n{name} = {{ reason = "we parse no XML", until = {until} }}\n'
    Path("pyproject.toml").write_text(text)
    done = look()
    assert done.returncode == status
    assert done.stdout.startswith("FOUND" if status else "EXCEPTED")
    assert ("we parse no XML" in done.stdout) == (status == 0)
    assert (f"exception {name} has ended" in done.stdout) == (status == 1)


@pytest.mark.parametrize(
    "exception", ['"why"', '{ reason = "why" }', "{ until = 9999-12-31 }", '{ reason = "", until = 9999-12-31 }']
)
def test_an_exception_has_reason_and_end(exception: str, look: Look) -> None:
    Path("pyproject.toml").write_text(f"[tool.image-audit.except]\nGHSA-1 = {exception}\n")
    done = look()
    assert done.returncode == 2
    assert 'GHSA-1 in pyproject.toml needs { reason = "why", until = 2026-12-31 }' in done.stderr


def instead(content: bytes, status: int = 200) -> Callable[[Record, Answer], Answer]:
    """Return a lie: this answer to each query but the one about the package that is known to be bad."""
    return lambda query, answer: answer if query["version"] == audit.KNOWN_BAD[1] else (status, content)


LIES: dict[str, Callable[[Record, Answer], Answer]] = {
    "error": instead(b"{}", 500),
    "overloaded": instead(b"{}", 429),
    "not there": instead(b"{}", 404),
    "refused": instead(b"{}", 403),
    "page of a portal": instead(b"<html>Please log in</html>"),
    "nothing": instead(b""),
    "another object": instead(b'{"results": []}'),
    "strange results": instead(b'{"vulns": [{"name": "GHSA-1"}]}'),
    "cut short": instead(json.dumps({"vulns": []}).encode()[:-2]),
    "knows nothing": lambda _, answer: (answer[0], b"{}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_service_that_lies_clears_nothing(lie: str, service: Osv, look: Look) -> None:
    service.lie = LIES[lie]
    done = look()
    assert (done.returncode, done.stdout) == (2, "")
    assert f"audit: {service.url} gives no answer to trust, nothing is cleared" in done.stderr


def test_a_service_that_is_down_clears_nothing(service: Osv, look: Look) -> None:
    service.url = "http://127.0.0.1:9"
    done = look()
    assert done.returncode == 2
    assert "nothing is cleared" in done.stderr


def test_a_lock_that_is_not_there(look: Look) -> None:
    Path("poetry.lock").unlink()
    done = look()
    assert done.returncode == 2
    assert "run `make lock`" in done.stderr


def test_a_package_that_is_not_answered_for_is_not_cleared(look: Look, tmp_path: Path) -> None:
    """By a pip-audit that leaves one out without a word."""
    name, version = audit.KNOWN_BAD
    answer = {"dependencies": [{"name": name, "version": version, "vulns": [{"id": "OLD", "aliases": []}]}]}
    (tmp_path / "pip_audit").mkdir()
    (tmp_path / "pip_audit/__init__.py").touch()
    (tmp_path / "pip_audit/__main__.py").write_text(f"print({json.dumps(answer)!r})")
    done = look()
    assert (done.returncode, done.stdout) == (2, "")
