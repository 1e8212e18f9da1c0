"""Middleware for every request: each function returns an ASGI application that wraps another one."""

import logging
import os
import re
import tempfile

from fastapi import HTTPException, status
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime import logs
from service_runtime.stop import stop

REQUEST_ID = b"x-request-id"
# An id that is accepted from a client: long enough for any tracing system.
SAFE_ID = re.compile(rb"[\w.:/+=-]{1,128}")

IN_MEMORY = 2**20  # bytes of a form that stay in memory
ROOM = 2**20  # bytes that must be free in the folder for temporary files

logger = logging.getLogger(__name__)


def closing(app: ASGIApp) -> ASGIApp:
    """Return `app` whose responses close their connections once a stop is requested."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if stop.requested and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, send_closing)

    return wrapped


def identified(app: ASGIApp) -> ASGIApp:
    """Return `app` with an id for every request, in its log lines and in X-Request-ID of its response.

    The id is the one in the request, from a proxy or another service, or else a new one.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope.get("headers", ()) if name == REQUEST_ID), b"")
        identity = given if SAFE_ID.fullmatch(given) else os.urandom(16).hex().encode()

        async def send_identified(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                headers = list(message.get("headers", ()))
                if REQUEST_ID not in (name.lower() for name, _ in headers):
                    headers.append((REQUEST_ID, identity))
                message = {**message, "headers": headers}
            await send(message)

        if scope["type"] != "lifespan":
            logs.request_id.set(identity.decode())
        await app(scope, receive, send_identified)

    return wrapped


def published_below(root_path: str, app: ASGIApp) -> ASGIApp:
    """Return `app` for a proxy that publishes it below `root_path`, whether or not it removes that from the path."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope = {**scope, "root_path": root_path}
            if not f"{scope['path']}/".startswith(f"{root_path}/"):
                scope["path"] = root_path + scope["path"]
                scope["raw_path"] = root_path.encode() + scope["raw_path"]
        await app(scope, receive, send)

    return wrapped


def with_room_for_uploads(app: ASGIApp) -> ASGIApp:
    """Return `app` that answers 507 to an upload for which the folder for temporary files, /tmp, is too small.

    FastAPI itself would answer 400, which blames the client.
    """
    folder = tempfile.gettempdir()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def receive_with_room() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > IN_MEMORY and (free := _free(folder)) < ROOM:
                logger.error("no room for an upload in %s: give it more space", folder, extra={"free": free})
                raise HTTPException(status.HTTP_507_INSUFFICIENT_STORAGE, "no room for the upload")
            return message

        is_form = any(
            name == b"content-type" and value.startswith(b"multipart/form-data")
            for name, value in scope.get("headers", ())
        )
        await app(scope, receive_with_room if is_form else receive, send)

    return wrapped


def _free(folder: str) -> int:
    """Return how many bytes are free in `folder`."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize
