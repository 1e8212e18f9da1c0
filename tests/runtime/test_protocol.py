"""What uvicorn alone would lose: the body of a request that offers an upgrade."""

import json
from collections.abc import Callable
from http.client import HTTPResponse
from typing import cast

import httptools
import pytest

from service_runtime.protocol import Parser, Protocol
from tests.runtime.services import Service, request

OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMAAABkAAQAAP__"}
BODY = b'{"name": "Ann"}'
CHUNKED = b"7\r\n" + BODY[:7] + b"\r\n8\r\n" + BODY[7:] + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("pause", ["none", "after the head", "in the head", "everywhere"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upgrade_that_is_not_taken_is_ignored(serve: Callable[..., Service], chunked: bool, pause: str) -> None:
    service = serve()
    head = request("/echo", BODY, **OFFER, Content_Type="application/json").removesuffix(BODY)
    body = BODY
    if chunked:
        head, body = head.replace(b"Content-Length: 15", b"Transfer-Encoding: chunked"), CHUNKED
    sent = head + body
    cuts = {"none": [], "after the head": [len(head)], "in the head": [40], "everywhere": [*range(1, len(sent))]}[pause]
    with service.connect() as connection:
        for _ in range(2):  # the connection goes on as it was
            for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
                connection.sendall(sent[begin:end])
            with HTTPResponse(connection) as response:
                response.begin()
                assert (response.status, json.loads(response.read())) == (200, {"name": "Ann"})
    service.process.terminate()
    assert [line for line in service.process.result().logs if line["level"] != "INFO"] == []


def test_an_upgrade_that_is_taken_goes_to_what_speaks_it() -> None:
    class Taking:
        def declines(self) -> bool:
            return False

    offer = b"GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade):
        Parser(cast(Protocol, Taking())).feed_data(offer)
