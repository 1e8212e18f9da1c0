"""How a stop ends open streams, that is WebSockets and server-sent events, which would not end by themselves.

At a stop, the code of a stream has GRACE seconds to end. That of a WebSocket learns of the stop when it receives: as if
the client had disconnected, with code 1012. That of an event stream can check `stop.requested`. Code that has not ended
by then is cancelled. Finally a WebSocket is closed with 1012 (service restart), and the response of an event stream is
completed, so that clients connect again.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

GRACE = 0.25  # seconds for a stream's code to end by itself
SERVICE_RESTART = 1012


class Streams:
    """An ASGI application that wraps another one and can end its open streams."""

    def __init__(self, app: ASGIApp) -> None:
        """Serve `app`."""
        self._app = app
        self._open: set[asyncio.Task[Any]] = set()
        self._ending = asyncio.Event()
        self._over = False

    async def end(self) -> None:
        """Let the open streams end; after GRACE, cancel those that have not, and any that open later."""
        self._ending.set()
        await asyncio.sleep(GRACE)
        self._over = True
        for task in self._open:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, a WebSocket, or the lifespan."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _opened(self, task: asyncio.Task[Any]) -> None:
        """Record that a stream has opened in `task`."""
        self._open.add(task)
        if self._over:
            task.cancel()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[asyncio.Task[Any]]:
        """Yield the current task, for `_opened`; if a stop ends what runs in it, that is not an error."""
        task = asyncio.current_task()
        assert task  # noqa: S101 - every coroutine runs in one
        try:
            yield task
        except (asyncio.CancelledError, WebSocketDisconnect):
            if task not in self._open or not self._ending.is_set():
                raise
            task.uncancel()
        finally:
            self._open.discard(task)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; when a stop ends its event stream, complete the response."""
        streaming = False

        async def watch(message: Message) -> None:
            nonlocal streaming
            if message["type"] == "http.response.start" and _is_event_stream(message):
                self._opened(task)
                streaming = True
            elif not message.get("more_body"):
                streaming = False
            await send(message)

        with self._watched() as task:
            await self._app(scope, receive, watch)
        if streaming and self._ending.is_set():
            await send({"type": "http.response.body"})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket; when a stop ends it, close it."""
        state = ""
        pending: asyncio.Future[Message] | None = None

        async def receive_or_end() -> Message:
            nonlocal pending
            if state != "websocket.accept":
                return await receive()
            # Kept for the next call if this one is cancelled, by a timeout for example: no message gets lost.
            pending = pending or asyncio.ensure_future(receive())
            await asyncio.wait((pending, ending), return_when=asyncio.FIRST_COMPLETED)
            if not pending.done():
                return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
            message, pending = pending.result(), None
            return message

        async def watch(message: Message) -> None:
            nonlocal state
            await send(message)
            if message["type"] != "websocket.send":
                state = message["type"]
            if message["type"] == "websocket.accept":
                self._opened(task)

        ending = asyncio.create_task(self._ending.wait())
        try:
            with self._watched() as task:
                await self._app(scope, receive_or_end, watch)
        finally:
            ending.cancel()
            if pending:
                pending.cancel()
        if state == "websocket.accept" and self._ending.is_set():
            await send({"type": "websocket.close", "code": SERVICE_RESTART})


def _is_event_stream(start: Message) -> bool:
    """Return whether the response that starts is a stream of server-sent events."""
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    return bool(headers.get(b"content-type", b"").startswith(b"text/event-stream"))
