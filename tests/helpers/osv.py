"""An OSV service for tests: it answers /v1/query as the documented API says, and lies on command."""

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
    """A service: its records, what it was asked, and how it lies: a function of the query and the true answer."""

    url: str = ""
    records: list[Record] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)
    lie: Callable[[Record, Answer], Answer] = lambda _, answer: answer

    def add(self, name: str, package: str, version: str, *, fixed: str = "", **more: Any) -> None:
        """Add a record of a vulnerability in a version of a package; `more` are other fields of the record."""
        events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
        part = {
            "package": {"ecosystem": "PyPI", "name": package},
            "versions": [version],
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        self.records.append({"id": name, "summary": f"{package} is bad", "affected": [part], **more})

    def answer(self, query: Record) -> Answer:
        """Return the true answer."""
        about = query["package"]
        self.asked.add((about["name"], query["version"]))
        found = [
            record
            for record in self.records
            for part in record["affected"]
            if part["package"] == about and query["version"] in part["versions"]
        ]
        return 200, json.dumps({"vulns": found} if found else {}).encode()


@contextlib.contextmanager
def osv() -> Iterator[Osv]:
    """Run a service that knows the old vulnerability without which `make audit` trusts no service."""
    service = Osv()
    service.add("OLD", *KNOWN_BAD)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, content = service.lie(query, service.answer(query)) if self.path == "/v1/query" else (404, b"")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()
        thread.join()
