"""A service with streams, most with code that does nothing about a stop: for test_streams.py."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator

from service_runtime import prepare

prepare()
if missing := os.environ.get("TEST_WITHOUT"):
    sys.modules[missing] = None  # type: ignore[assignment]

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

from service_runtime import streams
from service_runtime.server import serve
from service_runtime.settings import ServerSettings, load
from service_runtime.stop import stop

app = FastAPI()


async def late() -> None:
    """Return when a stop has ended what was open."""
    logging.info("asked")
    await stop.wait()
    await asyncio.sleep(3 * streams.GRACE)


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[str]:
    yield "first"
    await asyncio.Event().wait()


@app.get("/late-events")
async def late_events() -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await asyncio.Event().wait()

    await late()
    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/polite")
async def polite() -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await stop.wait()
        yield "data: goodbye\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream; charset=utf-8")


@app.get("/download")
async def download() -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        yield "data: "
        await stop.wait()
        await asyncio.sleep(2 * streams.GRACE)
        yield "last"

    return StreamingResponse(stream(), media_type="application/octet-stream")


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


@app.websocket("/impatient")
async def impatient(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        try:
            await websocket.send_text(await asyncio.wait_for(websocket.receive_text(), 0.001))
        except TimeoutError:
            continue


@app.websocket("/farewell")
async def farewell(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await websocket.send_text(await websocket.receive_text())
        await websocket.receive_text()
    except WebSocketDisconnect:
        await websocket.close(1001)


@app.websocket("/push")
async def push(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("first")
    await asyncio.Event().wait()


@app.websocket("/accepts-late")
async def accepts_late(websocket: WebSocket) -> None:
    await late()
    await websocket.accept()
    await asyncio.Event().wait()


@app.websocket("/refuses-late")
async def refuses_late(websocket: WebSocket) -> None:
    await late()
    await websocket.close()


serve(app, load(ServerSettings))
