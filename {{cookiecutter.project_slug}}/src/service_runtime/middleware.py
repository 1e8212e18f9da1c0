"""What happens to every request around the application. Each function returns an ASGI application around another."""

import logging
import os
import re
import tempfile

from fastapi import HTTPException, status
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime import logs
from service_runtime.stop import stop

REQUEST_ID = b"x-request-id"
# What may be taken over from a client: long enough for any tracing system.
SAFE_ID = re.compile(rb"[\w.:/+=-]{1,128}")

# Bytes: up to the first, a form stays in memory; the second must be free in the folder for temporary files.
IN_MEMORY = 2**20
ROOM = 2**20

logger = logging.getLogger(__name__)


def closing(app: ASGIApp) -> ASGIApp:
    """Return `app` with every response closing its connection once a stop is requested."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if stop.requested and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, send_closing)

    return wrapped


def identified(app: ASGIApp) -> ASGIApp:
    """Return `app` with an id for every request: in each of its log lines, and in its response as X-Request-ID.

    The id is the one that came with the request, from a proxy or another service, or else a new one.
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
    """Return `app` for a proxy that publishes it below `root_path`, whether or not it takes that off the path."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope = {**scope, "root_path": root_path}
            if not f"{scope['path']}/".startswith(f"{root_path}/"):
                scope["path"] = root_path + scope["path"]
                scope["raw_path"] = root_path.encode() + scope["raw_path"]
        await app(scope, receive, send)

    return wrapped


def with_room_for_uploads(app: ASGIApp) -> ASGIApp:
    """Return `app` with 507 for an upload that fills the folder for temporary files: /tmp, which may be small.

    By itself, FastAPI blames the client for a form that can't be stored, with 400.
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
    """Return how many bytes can still be written in `folder`."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize
