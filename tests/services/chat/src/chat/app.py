"""The HTTP API: a room to talk in by WebSocket, and to listen to by server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import FastAPI, WebSocket
from fastapi.sse import EventSourceResponse

from service_runtime.probes import probes

from .settings import Settings


class Room:
    """Whoever is here: each has a queue with what the others say."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._queues: set[asyncio.Queue[str]] = set()

    @contextmanager
    def enter(self) -> Iterator[asyncio.Queue[str]]:
        """Be here for a while."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def say(self, text: str) -> None:
        """Let everybody hear it."""
        for queue in self._queues:
            queue.put_nowait(text)


async def pass_on(heard: asyncio.Queue[str], websocket: WebSocket) -> None:
    """Send what is heard, as long as it may."""
    while True:
        await websocket.send_text(await heard.get())


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()
    app.include_router(probes())
    app.state.settings = settings
    room = Room()

    @app.websocket("/room")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        with room.enter() as heard:
            await websocket.send_text("welcome")
            async with asyncio.TaskGroup() as group:
                task = group.create_task(pass_on(heard, websocket))
                async for text in websocket.iter_text():
                    room.say(text)
                task.cancel()

    @app.get("/events", response_class=EventSourceResponse)
    async def listen() -> AsyncIterator[str]:
        with room.enter() as heard:
            yield "welcome"
            while True:
                yield await heard.get()

    return app
