"""What proxies, logs and clients see of a request: real processes and connections."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.services import Service

SERVICE = Path(__file__).with_name("slow_service.py")
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
    service = serve(SERVICE) if allowed is None else serve(SERVICE, FORWARDED_ALLOW_IPS=allowed)
    told = json.loads(service.call("/request", **FORWARDED)[1])
    assert told == {"client": client, "url": f"{scheme}://test/request"}
    redirect, _ = service.call("/request/", **FORWARDED)
    assert redirect.getheader("location") == f"{scheme}://test/request"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_proxy_is_known_by_its_ipv4_address_when_the_service_listens_on_ipv6(serve: Callable[..., Service]) -> None:
    service = serve(SERVICE, HOST="::", FORWARDED_ALLOW_IPS="127.0.0.0/8")
    assert json.loads(service.call("/request", **FORWARDED)[1])["client"] == "203.0.113.7"


@pytest.mark.parametrize("path", ["/request", "/shop/request"])
def test_a_proxy_may_publish_the_service_below_a_path(serve: Callable[..., Service], path: str) -> None:
    service = serve(SERVICE, ROOT_PATH="/shop")
    assert json.loads(service.call(path)[1])["url"] == "http://test/shop/request"
    redirect, _ = service.call(f"{path}/")
    assert redirect.getheader("location") == "http://test/shop/request"
    assert json.loads(service.call("/openapi.json")[1])["servers"] == [{"url": "/shop"}]
    assert service.get("/healthz") == (200, False)


def test_every_log_line_of_a_request_has_its_id_and_so_has_the_response(serve: Callable[..., Service]) -> None:
    service = serve(SERVICE)
    response, _ = service.call("/request", X_Request_ID="from-the-proxy:1")
    assert response.getheader("x-request-id") == "from-the-proxy:1"
    new = [service.call(path)[0].getheader("x-request-id") for path in ("/request", "/broken", "/nowhere")]
    assert len({*new, None}) == 4
    service.process.terminate()
    lines: dict[str, list[str]] = {}
    for line in service.process.result().logs:
        lines.setdefault(line.get("request_id", ""), []).append(line["logger"])
    assert lines.pop("from-the-proxy:1") == lines.pop(new[0] or "") == ["root", "uvicorn.access"]
    assert lines.pop(new[1] or "") == ["uvicorn.access", "uvicorn.error"]
    assert lines.pop(new[2] or "") == ["uvicorn.access"]
    assert lines.keys() == {""}


def test_an_id_that_could_do_harm_is_not_taken_over(serve: Callable[..., Service]) -> None:
    service = serve(SERVICE)
    for harmful in ("", "x" * 129, 'a"b', "a b", "\u00e9"):
        assert len(service.call("/request", X_Request_ID=harmful)[0].getheader("x-request-id") or "") == 32


def test_the_id_that_the_service_itself_gives_stays(serve: Callable[..., Service]) -> None:
    response, _ = serve(SERVICE).call("/own-id")
    assert response.headers.get_all("x-request-id") == ["own"]


FORM = "multipart/form-data; boundary=x"


def test_an_upload_without_room_is_refused_and_the_log_names_the_folder(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    service = serve(SERVICE, TEST_ROOM=str(2**62))
    assert service.call("/upload", bytes(3_000_000), Content_Type=FORM)[0].status == 507
    # What is not a large form is kept in memory.
    assert service.call("/upload", bytes(1000), Content_Type=FORM)[1] == "1000"
    assert service.call("/upload", bytes(3_000_000), Content_Type="image/png")[1] == "3000000"
    service.process.terminate()
    [error] = [line for line in service.process.result().logs if line["level"] == "ERROR"]
    assert error["message"] == f"no room for an upload in {tmp_path}: give it more space"


def test_an_upload_with_room_is_taken(serve: Callable[..., Service]) -> None:
    assert serve(SERVICE).call("/upload", bytes(3_000_000), Content_Type=FORM)[1] == "3000000"
