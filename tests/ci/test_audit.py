"""`make audit`: what it finds, what is excepted, and that no service that fails or lies gives a false green."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import audit
from tests.helpers.engine import PYTHON, Build, Engine
from tests.helpers.machine import index_environment
from tests.helpers.osv import Answer, Osv, osv

Audit = Callable[[], int]
# What a bill lists: package URL, and what it is looked up as.
LISTED = {
    "pkg:pypi/Some_Package@1.0": ("PyPI", "some-package", "1.0"),
    "pkg:cargo/idna@1.1.0": ("crates.io", "idna", "1.1.0"),
    "pkg:deb/debian/libc6@1:2.41-1?arch=amd64&distro=debian-trixie&upstream=glibc%402.41%2Bx": (
        *("Debian:13", "glibc", "2.41+x"),
    ),
    "pkg:deb/debian/tar@1.35?arch=amd64&distro=debian-trixie": ("Debian:13", "tar", "1.35"),
    "pkg:generic/python@3.14.0": ("Bitnami", "python", "3.14.0"),
}
UNASKED = "pkg:generic/zlib@1.3"


@pytest.fixture
def service() -> Iterator[Osv]:
    with osv() as found:
        yield found


@pytest.fixture
def look(service: Osv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Return a function that audits a bill, and returns the exit status."""
    components = [{"bom-ref": purl, "name": purl, "purl": purl} for purl in (*LISTED, UNASKED)]
    wheel, crate, *_ = LISTED
    bill = {"components": components, "dependencies": [{"ref": wheel, "dependsOn": [crate]}, {"ref": crate}]}
    (tmp_path / "bill.json").write_text(json.dumps(bill))
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit, "PATIENCE", 1)
    monkeypatch.setattr("audit.time.sleep", lambda _: None)

    def look() -> int:
        try:
            return audit.main(Path("bill.json"), service.url)
        except SystemExit as end:
            return int(end.code or 0)

    return look


def lines(capsys: pytest.CaptureFixture[str], word: str) -> list[str]:
    """Return the lines that begin with `word`."""
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.startswith(word)]


@pytest.mark.quick
def test_nothing_is_found(service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert look() == 0
    out = capsys.readouterr().out
    assert "5 packages looked up, 0 vulnerabilities found" in out
    assert UNASKED in out
    asked = {(query["package"]["ecosystem"], query["package"]["name"], query["version"]) for query in service.asked}
    assert asked >= set(LISTED.values())


@pytest.mark.quick
@pytest.mark.parametrize(
    ("purl", "fixed", "advice"),
    [
        ("pkg:pypi/Some_Package@1.0", "1.1", "fix: fixed in 1.1; .tools/bin/poetry update --lock some-package"),
        ("pkg:pypi/Some_Package@1.0", "", "fix: no fixed version is known"),
        ("pkg:cargo/idna@1.1.0", "2.0", "fix: fixed in 2.0; a newer version of pkg:pypi/Some_Package@1.0, which"),
        (list(LISTED)[2], "2.42", "fix: fixed in 2.42; build on the newest base image"),
        ("pkg:generic/python@3.14.0", "3.14.1", "fix: fixed in 3.14.1; build on the newest base image"),
    ],
)
def test_each_kind_is_found(
    purl: str, fixed: str, advice: str, service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    ecosystem, name, version = LISTED[purl]
    service.add("GHSA-1", ecosystem, name, version, fixed=fixed)
    assert look() == 1
    out = capsys.readouterr().out
    assert f"FOUND      GHSA-1  {name} {version}  {name} is bad\n" in out
    assert advice in out
    assert "1 vulnerabilities found" in out


@pytest.mark.quick
def test_what_nobody_can_mend_yet_fails_nothing(service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    service.add("DEBIAN-CVE-1", *LISTED[list(LISTED)[3]], upstream=["CVE-1"])
    service.add("RUSTSEC-1", *LISTED["pkg:cargo/idna@1.1.0"])
    service.records["RUSTSEC-1"]["affected"][0]["database_specific"] = {"informational": "unmaintained"}
    assert look() == 0
    assert lines(capsys, "no fix yet") == ["no fix yet tar 1.35: CVE-1", "no fix yet idna 1.1.0: RUSTSEC-1"]


@pytest.mark.quick
def test_a_fix_for_another_release_mends_nothing(service: Osv, look: Audit) -> None:
    service.add("DEBIAN-CVE-1", "Debian:13", "tar", "1.35")
    service.add("other", "Debian:14", "tar", "1.35", fixed="1.36")
    service.records["DEBIAN-CVE-1"]["affected"] += service.records["other"]["affected"]
    assert look() == 0


@pytest.mark.quick
def test_names_of_one_vulnerability(service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    package = LISTED["pkg:pypi/Some_Package@1.0"]
    service.add("GHSA-1", *package, aliases=["CVE-1", "PYSEC-1"])
    service.add("PYSEC-1", *package, aliases=["CVE-1", "GHSA-1"], fixed="1.1")
    service.add("PYSEC-2", *package, withdrawn="2026-01-01T00:00:00Z")
    assert look() == 1
    assert lines(capsys, "FOUND") == ["FOUND CVE-1 some-package 1.0 some-package is bad"]


@pytest.mark.quick
def test_pages_and_batches(
    service: Osv, look: Audit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of many vulnerabilities, on its fourth page, is the one without an exception."""
    monkeypatch.setattr(audit, "BATCH", 2)
    service.page = 1
    for number in range(4):
        service.add(f"GHSA-{number}", *LISTED["pkg:cargo/idna@1.1.0"])
    reasons = "".join(f'GHSA-{number} = {{ reason = "x", until = 9999-12-31 }}\n' for number in range(3))
    Path("pyproject.toml").write_text(f"[tool.image-audit.except]\n{reasons}")
    assert look() == 1
    assert lines(capsys, "FOUND") == ["FOUND GHSA-3 idna 1.1.0 idna is bad"]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("until", "name", "status", "line"),
    [
        ("9999-12-31", "GHSA-1", 0, "EXCEPTED GHSA-1 some-package 1.0"),
        ("9999-12-31", "PYSEC-1", 0, "EXCEPTED GHSA-1 some-package 1.0"),
        ("2000-01-01", "GHSA-1", 1, "The exception for GHSA-1 in pyproject.toml was good until 2000-01-01."),
        ("9999-12-31", "GHSA-2", 1, "The exception for GHSA-2 in pyproject.toml is no longer needed."),
    ],
)
def test_exceptions(
    until: str,
    name: str,
    status: int,
    line: str,
    service: Osv,
    look: Audit,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.add("GHSA-1", *LISTED["pkg:pypi/Some_Package@1.0"], aliases=["PYSEC-1"])
    Path("pyproject.toml").write_text(
        f'[tool.image-audit.except]\n{name} = {{ reason = "no XML here", until = {until} }}\n'
    )
    assert look() == status
    (found,) = lines(capsys, line.split()[0])
    assert found.startswith(line)


@pytest.mark.quick
@pytest.mark.parametrize(
    "exception",
    [
        '"no XML here"',
        '{ reason = "no XML here" }',
        '{ reason = " ", until = 9999-12-31 }',
        '{ reason = "no XML here", until = "9999-12-31" }',
        '{ reason = "no XML here", until = 9999-12-31T00:00:00Z }',
        '{ reason = "no XML here", until = 9999-12-31, who = "me" }',
    ],
)
@pytest.mark.usefixtures("service")
def test_an_exception_has_reason_and_end(exception: str, look: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text(f"[tool.image-audit.except]\nGHSA-1 = {exception}\n")
    assert look() == 2
    assert "GHSA-1 needs a reason and a last day" in capsys.readouterr().err


def instead(content: bytes, status: int = 200, *, of: str = "/v1/querybatch") -> Callable[[str, Answer], Answer]:
    """Return a lie: this answer in place of those below a path."""
    return lambda path, answer: (status, content) if path.startswith(of) else answer


def altered(change: Callable[[list[object]], object]) -> Callable[[str, Answer], Answer]:
    """Return a lie: the results of a batch, changed."""

    def lie(path: str, answer: Answer) -> Answer:
        if path != "/v1/querybatch":
            return answer
        return 200, json.dumps({"results": change(json.loads(answer[1])["results"])}).encode()

    return lie


def truncated(_: str, answer: Answer) -> Answer:
    return answer[0], answer[1][:-9]


LIES = {
    "error": instead(b"{}", 500),
    "overloaded": instead(b"{}", 429),
    "not there": instead(b"{}", 404),
    "refused": instead(b"{}", 403),
    "page of a portal": instead(b"<html>Please log in</html>"),
    "nothing": instead(b""),
    "empty object": instead(b"{}"),
    "list": instead(b"[]"),
    "null": instead(b'{"results": null}'),
    "no results": altered(lambda _: []),
    "fewer results": altered(lambda results: results[:-1]),
    "more results": altered(lambda results: [*results, {}]),
    "results of null": altered(lambda results: [None for _ in results]),
    "strange results": altered(lambda results: [{"vulns": [{"name": "GHSA-1"}]} for _ in results]),
    "knows nothing": altered(lambda results: [{} for _ in results]),
    "no last page": altered(lambda results: [{**dict(result), "next_page_token": "1"} for result in results]),  # type: ignore[call-overload]
    "truncated": truncated,
    "record of a portal": instead(b"<html>Please log in</html>", of="/v1/vulns/"),
    "no record": instead(b"{}", 404, of="/v1/vulns/"),
    "empty record": instead(b"{}", of="/v1/vulns/"),
    "another record": instead(b'{"id": "GHSA-2", "withdrawn": "2026-01-01T00:00:00Z"}', of="/v1/vulns/"),
    "strange record": instead(b'{"id": "GHSA-1", "affected": [{"package": "some-package"}]}', of="/v1/vulns/"),
}


@pytest.mark.quick
@pytest.mark.parametrize("lie", LIES)
def test_a_service_that_lies_clears_nothing(
    lie: str, service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    service.add("GHSA-1", *LISTED["pkg:pypi/Some_Package@1.0"])
    service.lie = LIES[lie]
    assert look() == 2
    assert capsys.readouterr().out == ""


@pytest.mark.quick
@pytest.mark.parametrize("kind", audit.KNOWN_BAD)
def test_a_service_that_does_not_know_a_kind_clears_nothing(
    kind: str, service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in service.records if name.startswith(f"OLD-{kind}")]:
        service.records.pop(name)
    assert look() == 2
    assert f"it clears no {kind} package" in capsys.readouterr().err


@pytest.mark.quick
def test_a_service_that_recovers_is_asked_again(service: Osv, look: Audit) -> None:
    answers: list[Answer] = [(503, b""), (200, b"<html>")]
    service.lie = lambda _, answer: answers.pop() if answers else answer
    assert look() == 0


@pytest.mark.quick
def test_a_service_that_is_down_clears_nothing(service: Osv, look: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    service.url = "http://127.0.0.1:9"
    assert look() == 2
    assert "Connection refused" in capsys.readouterr().err


def dribble(listener: socket.socket) -> None:
    """Answer everybody with a word that never ends."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.1)


@pytest.mark.quick
@pytest.mark.parametrize("says", ["nothing", "a little, for ever"])
def test_a_service_that_does_not_come_to_an_end_clears_nothing(
    says: str, service: Osv, look: Audit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PATIENCE", 0.3)
    monkeypatch.setattr(audit, "ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=dribble, args=(listener,))
        if says != "nothing":
            thread.start()
        service.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert look() == 2
        listener.shutdown(socket.SHUT_RDWR)
        if says != "nothing":
            thread.join()
    assert ("timed out" if says == "nothing" else "no whole answer") in capsys.readouterr().err


def test_a_real_image(build: Build, engine: Engine, service: Osv) -> None:
    """All that it holds is asked for; then glibc's source package, and a crate of pydantic_core, are bad."""
    project, image = build()
    env = {"IMAGE": image, "OSV_URL": service.url, **index_environment()}
    project.make("audit", env=env)

    def inside(program: str, *arguments: str) -> str:
        return engine.docker("run", "--rm", "--entrypoint", program, image, *arguments).stdout

    sources = inside("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}\n").splitlines()
    listing = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    packages = {canonicalize_name(line) for line in inside(PYTHON, "-c", listing).splitlines()}
    asked: dict[str, set[str]] = {}
    for query in service.asked:
        about = query["package"]
        asked.setdefault(about["ecosystem"].partition(":")[0], set()).add(f"{about['name']} {query['version']}")
    for kind, found in asked.items():
        found.remove(" ".join(audit.KNOWN_BAD[kind]))
    assert asked["Debian"] == set(sources)
    # The project itself is nobody's business.
    assert {canonicalize_name(line) for line in asked["PyPI"]} == packages - {"example-service 0-1-0"}
    assert asked["Bitnami"] == {f"python {inside(PYTHON, '-V').split()[1]}"}
    assert len(asked["crates.io"]) > 50
