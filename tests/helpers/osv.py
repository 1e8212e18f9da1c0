"""An OSV service for tests: it knows what the documented API says, pages its answers, and lies on command."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from audit import KNOWN_BAD

Answer = tuple[int, bytes]
Record = dict[str, Any]


@dataclass
class Osv:
    """A service: its records, what it was asked, and how it lies: a function of the path and the true answer."""

    url: str = ""
    records: dict[str, Record] = field(default_factory=dict)
    page: int = 100
    asked: list[Record] = field(default_factory=list)
    lie: Callable[[str, Answer], Answer] = lambda _, answer: answer

    def add(self, name: str, ecosystem: str, package: str, *versions: str, fixed: str = "", **more: Any) -> None:
        """Add a record of a vulnerability of some versions of a package; `more` are other fields of the record."""
        events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
        part = {
            "package": {"ecosystem": ecosystem, "name": package},
            "versions": list(versions),
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        self.records[name] = {"id": name, "summary": f"{package} is bad", "affected": [part], **more}

    def answer(self, path: str, body: Record) -> Answer:
        """Return the true answer."""
        if path == "/v1/querybatch":
            self.asked += body["queries"]
            return 200, json.dumps({"results": [self.result(query) for query in body["queries"]]}).encode()
        record = self.records.get(path.removeprefix("/v1/vulns/"))
        return (200, json.dumps(record).encode()) if record else (404, b'{"code": 5, "message": "Bug not found."}')

    def result(self, query: Record) -> Record:
        """Return what is known of the package in a query, from its page on."""
        package, version = query["package"], query["version"]
        ids = [
            name
            for name, record in self.records.items()
            for part in record["affected"]
            if part["package"] == package and version in part["versions"]
        ]
        start = int(query.get("page_token", 0))
        end = start + self.page
        found: Record = {"vulns": [{"id": name, "modified": "2026-01-01T00:00:00Z"} for name in ids[start:end]]}
        return (found if ids[start:end] else {}) | ({"next_page_token": str(end)} if ids[end:] else {})


@contextlib.contextmanager
def osv() -> Iterator[Osv]:
    """Run a service that knows the old vulnerabilities without which `make audit` trusts no service."""
    service = Osv()
    for kind, (package, version) in KNOWN_BAD.items():
        for ecosystem in [f"Debian:{number}" for number in range(12, 16)] if kind == "Debian" else [kind]:
            service.add(f"OLD-{ecosystem}", ecosystem, package, version)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            status, content = service.lie(self.path, service.answer(self.path, body))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()
        thread.join()
