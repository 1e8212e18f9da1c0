"""uvicorn's HTTP protocol; but a stop does not cut off half a request, nor the offer of an upgrade its body."""

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """A connection. uvicorn calls `shutdown`; the parser calls what begins with `on_`."""

    arriving = False  # the head of a request has begun, and is not complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a parser that can decline an upgrade."""
        super().connection_made(transport)
        self.parser = Parser(self)

    def shutdown(self) -> None:
        """Close the connection, now or after the current answer; after the next one if a request is arriving."""
        if not self.arriving:
            super().shutdown()

    def on_message_begin(self) -> None:
        """A head begins."""
        self.arriving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self.arriving = False
        if not self.declines():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A body is complete; or nothing was read of it, since an upgrade was offered."""
        if not self.declines():
            super().on_message_complete()

    def declines(self) -> bool:
        """Return whether an upgrade is offered that is to be ignored (RFC 9110, 7.8), such as h2c."""
        if not self.parser.should_upgrade():
            return False
        offers = [value.lower() for name, value in self.headers if name == b"upgrade"]
        return offers != [] and not (b"websocket" in offers and self.ws_protocol_class)

    def head(self) -> bytes:
        """Return the head that has arrived, without the offer of an upgrade."""
        if (b"upgrade", b"websocket") in self.headers:
            self.logger.warning("a WebSocket is asked for: add `websockets` to the dependencies")
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        return b"\r\n".join([line, *(b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"), b"", b""])


class Parser(httptools.HttpRequestParser):
    """A parser that reads the head again, without the offer, where an upgrade is declined."""

    def __init__(self, protocol: Protocol) -> None:
        """Tell `protocol` what arrives."""
        super().__init__(protocol)
        self._protocol = protocol
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Parse what has arrived."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._protocol.declines():
                raise
            self.feed_data(self._protocol.head() + data[upgrade.args[0] :])
