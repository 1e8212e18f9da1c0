"""Applications whose endpoints are slow, broken or endless; most of their code does nothing about a stop."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context

from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service_runtime import server
from service_runtime.probes import probes
from service_runtime.stop import stop

from .settings import Settings

server.LINGER = float(os.environ.get("TEST_LINGER", server.LINGER))
server.GRACE = float(os.environ.get("TEST_GRACE", server.GRACE))
routes = APIRouter()


def create_app(_settings: Settings) -> FastAPI:
    """Return an application with all routes."""
    app = FastAPI()
    app.include_router(probes())
    app.include_router(routes)
    app.include_router(orders, prefix="/v1")
    return app


def with_lifespan(_settings: Settings) -> FastAPI:
    """Return an application whose lifespan dies when it is told to."""
    death = asyncio.Event()

    async def consume() -> None:
        await death.wait()
        raise RuntimeError("the consumer lost its broker")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            consumer = group.create_task(consume())
            yield
            consumer.cancel()

    app = FastAPI(lifespan=lifespan)
    app.include_router(probes())
    app.include_router(routes)

    @app.get("/die")
    async def die() -> None:
        death.set()

    return app


def with_slow_start(_settings: Settings) -> FastAPI:
    """Return an application that waits for a database that does not answer."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        logging.info("waiting")
        await asyncio.Event().wait()
        yield

    return FastAPI(lifespan=lifespan)


def with_broken_start(_settings: Settings) -> FastAPI:
    """Return an application that does not start."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    return FastAPI(lifespan=lifespan)


def without_lifespan(_settings: Settings) -> ASGIApp:
    """Return an ASGI application of another framework, which knows requests alone."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


orders = APIRouter(prefix="/orders")


@orders.get("/{number}/items/{item}")
async def item(number: int, item: str) -> str:
    """Return an item of an order."""
    return f"{number} {item}"


@routes.get("/greeting")
async def greeting() -> str:
    """Greet."""
    return "hello"


@routes.get("/request")
async def describe(request: Request) -> dict[str, str]:
    """Tell what the service sees of a request."""
    logging.info("asked")
    return {"client": request.client.host if request.client else "", "url": str(request.url)}


@routes.get("/own-id")
async def own_id(response: Response) -> None:
    """Give the request an id of the service's own."""
    response.headers["X-Request-ID"] = "own"


@routes.post("/echo")
async def echo_body(body: dict[str, str]) -> dict[str, str]:
    """Return a JSON body."""
    return body


@routes.post("/length")
async def length(request: Request) -> int:
    """Return the length of a body."""
    return sum([len(chunk) async for chunk in request.stream()])


@routes.get("/sleep/{seconds}")
async def sleep(seconds: float) -> None:
    """Take a while."""
    await asyncio.sleep(seconds)


@routes.get("/hang/{seconds}")
def hang(seconds: float) -> None:
    """Take a while in a thread."""
    time.sleep(seconds)


@routes.get("/broken")
async def broken() -> None:
    """Fail."""
    raise RuntimeError("broken")


def log_in_pool() -> None:
    """Log from a process of a pool."""
    logging.info("in a pool")


@routes.get("/pool")
def pool() -> None:
    """Run a job in a process of a pool, as Python 3.14 starts it."""
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as executor:
        executor.submit(log_in_pool).result()


async def late() -> None:
    """Return when a stop has ended what was open."""
    logging.info("asked")
    await stop.wait()
    await asyncio.sleep(1)


async def endless(first: str) -> AsyncIterator[str]:
    """Yield once, and then wait for ever."""
    yield first
    await asyncio.Event().wait()


@routes.get("/events")
async def events() -> StreamingResponse:
    """Send an event, and no other."""
    return StreamingResponse(endless("data: first\n\n"), media_type="text/event-stream")


@routes.get("/late-events")
async def late_events() -> StreamingResponse:
    """Begin an event stream in the middle of a stop."""
    await late()
    return StreamingResponse(endless("data: first\n\n"), media_type="text/event-stream")


@routes.get("/polite")
async def polite() -> StreamingResponse:
    """Say goodbye at a stop."""

    async def stream() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await stop.wait()
        yield "data: goodbye\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream; charset=utf-8")


@routes.get("/download")
async def download() -> StreamingResponse:
    """Send something that has an end, which comes after that of the streams."""

    async def stream() -> AsyncIterator[str]:
        yield "data: "
        await stop.wait()
        await asyncio.sleep(1)
        yield "last"

    return StreamingResponse(stream(), media_type="application/octet-stream")


@routes.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


@routes.websocket("/push")
async def push(websocket: WebSocket) -> None:
    """Send, and never receive."""
    await websocket.accept()
    await websocket.send_text("first")
    await asyncio.Event().wait()


@routes.websocket("/refuse")
async def refuse(websocket: WebSocket) -> None:
    """Refuse to talk."""
    await websocket.close()
