"""What proxies, logs and clients see of a request: real processes and connections."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from service_runtime import logs
from service_runtime.middleware import Middleware, no_text
from service_runtime.settings import ServerSettings
from service_runtime.stop import stop
from tests.runtime.processes import wait_for
from tests.runtime.services import Service, answer, request

FORWARDED = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "https"}


@pytest.mark.parametrize(
    ("allowed", "client", "scheme"),
    [
        (None, "127.0.0.1", "http"),
        ("", "127.0.0.1", "http"),
        ("10.0.0.0/8", "127.0.0.1", "http"),
        ("127.0.0.1", "203.0.113.7", "https"),
        ("10.0.0.0/8, 127.0.0.0/8", "203.0.113.7", "https"),
        ("*", "203.0.113.7", "https"),
    ],
)
def test_only_a_proxy_that_is_allowed_to_says_who_asks_and_how(
    serve: Callable[..., Service], allowed: str | None, client: str, scheme: str
) -> None:
    service = serve() if allowed is None else serve(FORWARDED_ALLOW_IPS=allowed)
    told = json.loads(service.call("/request", **FORWARDED)[1])
    assert told == {"client": client, "url": f"{scheme}://test/request"}
    redirect, _ = service.call("/request/", **FORWARDED)
    assert redirect.getheader("location") == f"{scheme}://test/request"


@pytest.mark.parametrize("path", ["/request", "/shop/request"])
def test_a_proxy_may_publish_the_service_below_a_path(serve: Callable[..., Service], path: str) -> None:
    service = serve(ROOT_PATH="/shop")
    assert json.loads(service.call(path)[1])["url"] == "http://test/shop/request"
    redirect, _ = service.call(f"{path}/")
    assert redirect.getheader("location") == "http://test/shop/request"
    assert json.loads(service.call("/openapi.json")[1])["servers"] == [{"url": "/shop"}]
    assert service.get("/healthz") == (200, False)


def test_every_log_line_of_a_request_has_its_id_and_so_has_the_response(serve: Callable[..., Service]) -> None:
    service = serve()
    response, _ = service.call("/request", X_Request_ID="from-the-proxy:1")
    assert response.getheader("x-request-id") == "from-the-proxy:1"
    new = [service.call(path)[0].getheader("x-request-id") for path in ("/request", "/broken", "/nowhere")]
    assert len({*new, None}) == 4
    service.process.terminate()
    lines: dict[str, list[str]] = {}
    for line in service.process.result().logs:
        lines.setdefault(line.get("request_id", ""), []).append(line["logger"])
    assert lines.pop("from-the-proxy:1") == lines.pop(new[0] or "") == ["root", "service.access"]
    assert lines.pop(new[1] or "") == ["service.access", "uvicorn.error"]
    assert lines.pop(new[2] or "") == ["service.access"]
    assert lines.keys() == {""}


def test_an_id_that_could_do_harm_is_not_taken_over(serve: Callable[..., Service]) -> None:
    service = serve()
    for harmful in ("", "x" * 129, 'a"b', "a b", "\u00e9"):
        assert len(service.call("/request", X_Request_ID=harmful)[0].getheader("x-request-id") or "") == 32


def test_the_id_that_the_service_itself_gives_stays(serve: Callable[..., Service]) -> None:
    response, _ = serve().call("/own-id")
    assert response.headers.get_all("x-request-id") == ["own"]


def access_lines(service: Service) -> list[dict[str, Any]]:
    """Stop the service; return the lines of its access log, without what differs each time."""
    service.process.terminate()
    lines = [line for line in service.process.result().logs if line["logger"] == "service.access"]
    known = {"timestamp", "level", "logger", "request_id"}
    return [{name: value for name, value in line.items() if name not in known} for line in lines]


def test_the_access_log_names_the_route_and_no_query(serve: Callable[..., Service]) -> None:
    service = serve()
    service.call("/v1/orders/7/items/7?token=secret")
    service.call("/nowhere?token=secret")
    found, missing = access_lines(service)
    assert found.pop("duration_ms") >= 0
    assert missing.pop("duration_ms") >= 0
    fields = {"method": "GET", "client": "127.0.0.1"}
    route = "/v1/orders/{number}/items/{item}"
    assert found == {**fields, "message": f"GET {route} 200", "route": route, "status": 200}
    assert missing == {**fields, "message": "GET /nowhere 404", "route": "/nowhere", "status": 404}


def test_probes_are_logged_when_they_fail_only(serve: Callable[..., Service]) -> None:
    service = serve(SHUTDOWN_DELAY="3600")
    for path in ("/healthz", "/readyz", "/greeting", "/healthz/deep"):
        service.get(path)
    service.process.terminate()
    wait_for(lambda: service.get("/readyz")[0] == 503)
    service.get("/greeting")  # its answer comes after the line of the one before
    asked = [line["message"] for line in access_lines(service)]
    assert asked[:2] == ["GET /greeting 200", "GET /healthz/deep 404"]
    assert set(asked[2:]) - {"GET /greeting 200"} == {"GET /readyz 503"}


def test_a_body_above_the_limit_is_refused(serve: Callable[..., Service]) -> None:
    service = serve(MAX_BODY="1000")
    assert service.call("/length", bytes(1000))[1] == "1000"
    response, _ = service.call("/length", bytes(1001))
    assert (response.status, response.getheader("connection")) == (413, None)
    with service.connect() as connection:
        connection.sendall(request("/length", Transfer_Encoding="chunked").replace(b"GET", b"POST"))
        connection.sendall(b"3e8\r\n" + bytes(1000) + b"\r\n")
        connection.sendall(b"3e8\r\n" + bytes(1000) + b"\r\n")
        assert answer(connection)[0] == 413
    assert [line["status"] for line in access_lines(service)] == [200, 413, 413]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"\x80\xff", "application/octet-stream", 422),
        (b'{"a": ["\\ud800"]}', "application/json", 422),
        (b'{"a": "\\ud800"}', "application/json", 500),  # the application's own fault: it has accepted that
    ],
)
def test_a_body_that_is_no_text_is_no_error_of_the_service(
    serve: Callable[..., Service], body: bytes, kind: str, status: int
) -> None:
    service = serve()
    answer, _ = service.call("/echo", body, Content_Type=kind)
    assert answer.status == status
    service.process.terminate()
    errors = [line for line in service.process.result().logs if line["level"] == "ERROR"]
    assert len(errors) == (status == 500)
    with pytest.raises(UnicodeError):
        no_text(None, UnicodeError())


def test_requests_above_the_limit_are_told_to_come_again(serve: Callable[..., Service]) -> None:
    service = serve(MAX_CONCURRENCY="1")
    with service.connect() as connection:
        connection.sendall(request("/sleep/1.5"))
        wait_for(lambda: service.get("/greeting")[0] == 503)
        response, _ = service.call("/greeting")
        assert (response.status, response.getheader("retry-after")) == (503, "1")
        assert service.get("/healthz") == service.get("/readyz") == (200, False)
        assert answer(connection) == (200, False)
    assert service.get("/greeting") == (200, False)


def test_a_websocket_that_a_stop_ends_or_the_code_refuses_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a connection, since a project need not have what speaks WebSocket."""
    scope: dict[str, Any] = {"type": "websocket", "path": "/chat", "raw_path": b"/chat", "headers": [], "client": None}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1000})

    async def accept(_scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await receive()

    async def main() -> None:
        await Middleware(refuse, ServerSettings())(dict(scope), receive, send)
        middleware = Middleware(accept, ServerSettings())
        task = asyncio.create_task(middleware(dict(scope), receive, send))
        while not middleware.streams:
            await asyncio.sleep(0)
        middleware.end_streams()
        await task

    logs.configure()
    stop.requested = True
    try:
        asyncio.run(main())
    finally:
        stop.requested = False
        logging.basicConfig(force=True, handlers=[logging.NullHandler()])
    assert [message["type"] for message in sent] == ["websocket.close", "websocket.accept"]
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("WEBSOCKET", "/chat", 403),
        ("WEBSOCKET", "/chat", 101),
    ]
