"""What every request passes: its id, the access log, limits, the path of a proxy, and what a stop does to it."""

import asyncio
import os
import re
import time
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from service_runtime import logs
from service_runtime.settings import ServerSettings
from service_runtime.stop import stop

# An id that is accepted from a client: long enough for any tracing system.
SAFE_ID = re.compile(rb"[\w.:/+=-]{1,128}")
TOO_MANY = PlainTextResponse("too many requests at the same time", 503, {"Retry-After": "1"})


class Middleware:
    """An ASGI application that wraps that of the team."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        """Wrap `app` according to `settings`."""
        self._app, self._limited = app, RequestBodyLimitMiddleware(app, settings.max_body)
        self._root, self._free = settings.root_path, settings.max_concurrency
        getattr(app, "exception_handlers", {}).setdefault(UnicodeError, no_text)
        self.streams: set[asyncio.Task[Any]] = set()
        self._over = False

    def end_streams(self) -> None:
        """End the open WebSockets and event streams, and any that open later."""
        self._over = True
        for task in self.streams:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, a WebSocket, or the lifespan."""
        if scope["type"] == "lifespan":
            await _lifespan(self._app, scope, receive, send)
            return
        if self._root:  # whether or not the proxy removes it from the path
            scope["root_path"] = self._root
            if not f"{scope['path']}/".startswith(f"{self._root}/"):
                scope["path"], scope["raw_path"] = self._root + scope["path"], self._root.encode() + scope["raw_path"]
        begin, status, is_open, is_http = time.perf_counter(), 0, True, scope["type"] == "http"
        is_probe = scope["path"].removeprefix(self._root) in ("/healthz", "/readyz")
        task: Any = asyncio.current_task()
        given = dict(scope["headers"])
        identity = sent if SAFE_ID.fullmatch(sent := given.get(b"x-request-id", b"")) else os.urandom(16).hex().encode()
        logs.request_id.set(identity.decode())

        async def watched(message: Message) -> None:
            nonlocal status, is_open
            if message["type"] in ("http.response.start", "websocket.accept"):
                status = message.get("status", 101)
                headers = [*message.get("headers", ())]
                names = {name.lower(): value for name, value in headers}
                if not is_http or b"event-stream" in names.get(b"content-type", b""):
                    self.streams.add(task)
                    if self._over:
                        task.cancel()
                if b"x-request-id" not in names:
                    headers.append((b"x-request-id", identity))
                if stop.requested and is_http:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            elif message["type"] == "websocket.close":
                status = status or 403
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                is_open = False
                if not is_probe or status >= 400:
                    logs.access(scope, status, begin)

        has_body = is_http and not given.keys().isdisjoint((b"content-length", b"transfer-encoding"))
        app = self._limited if has_body else self._app
        app = app if self._free > 0 or is_probe or not is_http else TOO_MANY
        self._free -= is_http
        try:
            await app(scope, receive, watched)
        except (asyncio.CancelledError, WebSocketDisconnect):
            if not (stop.requested and task in self.streams):
                raise
            if is_http and is_open:  # so that the client knows that it was all, and comes again
                await watched({"type": "http.response.body"})
        finally:
            self._free += is_http
            self.streams.discard(task)
            if is_open:
                logs.access(scope, status or 500, begin)


def no_text(_: object, error: Exception) -> PlainTextResponse:
    """Answer 422 where FastAPI fails to repeat a body in its own answer; raise any other error."""
    if isinstance(error.__context__, RequestValidationError):
        return PlainTextResponse("the body is no text", 422)
    raise error


async def _lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    # A stop may interrupt its start; its failure later on stops the service.
    started = False

    async def watched(message: Message) -> None:
        nonlocal started
        started = started or message["type"] == "lifespan.startup.complete"
        if started or not stop.requested:
            await send(message)

    try:
        await app(scope, receive, watched)
    except BaseException:
        if started:
            stop.request(failed=True)
        elif stop.requested:
            return
        raise
