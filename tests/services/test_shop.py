"""Shop: behind an ingress, nginx, that ends TLS and publishes the service below a path; with traces."""

import contextlib
import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from tests.helpers import services
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import PYTHON, Engine, healthcheck, stop, until
from tests.helpers.machine import lab
from tests.helpers.project import Project
from tests.helpers.servers import debian, free_port, server
from tests.services.conftest import Scaffold

CLIENT = "127.53.9.9"
TELEMETRY = (
    "opentelemetry-distro>=0.66b0,<1",
    "opentelemetry-exporter-otlp-proto-http>=1,<2",
    "opentelemetry-instrumentation-urllib>=0.66b0,<1",
)
NGINX = """
daemon off;
user root;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    log_format ids '$request_id';
    access_log {folder}/ids.log ids;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream shop {{ server {service}; }}
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {tls}/mirror.crt;
        ssl_certificate_key {tls}/mirror.key;
        include {project}/deploy/ingress.conf;
    }}
}}
"""
# What somebody says who wants to be taken for another one.
SPOOFED = {"X-Forwarded-For": "203.0.113.66", "X-Forwarded-Proto": "http", "X-Request-ID": "spoofed"}
ASK = f"""
import urllib.request
print(urllib.request.urlopen(urllib.request.Request("http://%s:8000/shop/basket/", headers={SPOOFED})).read().decode())
"""


@pytest.fixture(scope="module")
def shop(scaffold: Scaffold, engine: Engine) -> tuple[Project, str]:
    """The project, and its image."""
    project = scaffold("shop", service_type="fastapi", build_image="slim")
    project.replace("pyproject.toml", "venv = 45,", "venv = 70,")
    services.finish(project, *TELEMETRY)
    return project, engine.build(project, "--build-arg", "VERSION=0.1.0")[0]


def test_holds(shop: tuple[Project, str]) -> None:
    project, image = shop
    services.check(project)
    assert red(table(judge(project, image))) == {}
    services.update(project)


class Ingress(NamedTuple):
    """nginx in front of the service: where it listens, the file with the ids of its requests, the service."""

    address: str
    ids: Path
    container: str

    def call(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
        """Return a response and its body."""
        context = ssl.create_default_context(cafile=lab()["LAB_CA"])
        connection = HTTPSConnection(self.address, context=context, source_address=(CLIENT, 0), timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response, response.read().decode()


@pytest.fixture
def ingress(shop: tuple[Project, str], engine: Engine, tmp_path: Path) -> Iterator[Ingress]:
    """The service behind nginx."""
    debian("nginx-light")
    project, image = shop
    (gateway,) = engine.docker(
        "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}}{{end}}"
    ).stdout.split()
    container = engine.start(
        *("--publish", "127.0.0.1::8000", f"--env=FORWARDED_ALLOW_IPS={gateway}", "--env=ROOT_PATH=/shop", image)
    )
    service = engine.published(container)
    host = lab()["LAB_MIRROR_IP"]
    port = free_port(host)
    text = NGINX.format(
        folder=tmp_path, service=service, host=host, port=port, tls=Path(lab()["LAB_CA"]).parent, project=project.path
    )
    (tmp_path / "nginx.conf").write_text(text)
    with server("nginx", "-c", tmp_path / "nginx.conf", port=port, host=host):
        found = Ingress(f"{host}:{port}", tmp_path / "ids.log", container)
        until(lambda: found.call("/shop/readyz")[0].status == 200)
        yield found


def test_clients_of_the_ingress(ingress: Ingress, engine: Engine) -> None:
    url = f"https://{ingress.address}/shop/basket/"
    for headers in ({}, SPOOFED):
        response, body = ingress.call("/shop/basket/", **headers)
        assert json.loads(body) == {"client": CLIENT, "url": url}
        assert response.getheader("x-request-id") not in (None, "spoofed")
        response, _ = ingress.call("/shop/basket", **headers)
        assert (response.status, response.getheader("location")) == (307, url)
        response, _ = ingress.call("/shop/basket/", "POST", **headers)
        assert (response.status, response.getheader("location")) == (303, url)
    assert json.loads(ingress.call("/shop/openapi.json")[1])["servers"] == [{"url": "/shop"}]

    assert stop(engine, ingress.container) == 0
    told = [line["request_id"] for line in engine.logged(ingress.container) if line["logger"] == "service.access"]
    # Probes that succeed leave no line; the first ones may have found the service starting.
    asked = ingress.ids.read_text().split()
    assert told == asked[-7:]


class Collector(BaseHTTPRequestHandler):
    """Keeps what services export."""

    received: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        """Take an export."""
        self.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[str]:
    """The address of a collector."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_a_trace_goes_through_two_services(shop: tuple[Project, str], collector: str, engine: Engine) -> None:
    exported = ("--env=OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", f"--env=OTEL_EXPORTER_OTLP_ENDPOINT={collector}")
    port, other = free_port("127.0.0.1"), free_port("127.0.0.1")
    options = ("--network=host", *exported)
    prices = engine.start(*options, f"--env=PORT={other}", "--env=OTEL_SERVICE_NAME=prices", shop[1])
    front = engine.start(*options, f"--env=PORT={port}", f"--env=PRICES_URL=http://127.0.0.1:{other}", shop[1])
    for container in (prices, front):
        until(lambda container=container: healthcheck(engine, container))  # type: ignore[misc]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/basket/price") as answer:
        assert json.loads(answer.read()) == "12.50"
    assert stop(engine, front) == stop(engine, prices) == 0

    asked, told = (
        next(line for line in engine.logged(container) if line["message"] == message)
        for container, message in ((front, "GET /basket/price 200"), (prices, "price of a basket"))
    )
    assert asked["trace_id"] == told["trace_id"]
    spans = [body for path, body in Collector.received if path == "/v1/traces"]
    for name in (b"shop", b"prices"):
        assert any(name in body and bytes.fromhex(asked["trace_id"]) in body for body in spans), name
    assert any(path == "/v1/metrics" and b"http.server.request.duration" in body for path, body in Collector.received)


def test_strangers_are_not_believed(shop: tuple[Project, str], ingress: Ingress, engine: Engine) -> None:
    """They speak to the service itself: from another container, and from beside it."""
    _, image = shop
    address = engine.inspect(ingress.container, ".NetworkSettings.Networks.bridge.IPAddress")
    beside = engine.docker("exec", ingress.container, PYTHON, "-c", ASK % "127.0.0.1").stdout
    assert json.loads(beside) == {"client": "127.0.0.1", "url": "http://127.0.0.1:8000/shop/basket/"}
    other = json.loads(engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", ASK % address).stdout)
    assert other["url"] == f"http://{address}:8000/shop/basket/"
    assert other["client"] not in (address, SPOOFED["X-Forwarded-For"])
