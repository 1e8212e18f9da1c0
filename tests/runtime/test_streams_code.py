"""What the code of a WebSocket sees of a stop: `Streams`, with a client that is a queue. See test_streams.py."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.types import Message

from service_runtime.streams import Streams

Code = Callable[[WebSocket], Awaitable[None]]


def serving(code: Code) -> Streams:
    """Return an application with one WebSocket, that `code` serves."""
    app = FastAPI()
    app.websocket("/")(code)
    return Streams(app)


class Client:
    """A client of that WebSocket."""

    def __init__(self, streams: Streams) -> None:
        self.to_code: asyncio.Queue[Message] = asyncio.Queue()
        self.received: list[Message] = []
        self.say("websocket.connect")
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": []}
        self.served = asyncio.ensure_future(streams(scope, self.to_code.get, self.receive))

    async def receive(self, message: Message) -> None:
        self.received.append(message)

    def say(self, kind: str, **message: str | int) -> None:
        self.to_code.put_nowait({"type": kind, **message})

    async def until(self, kind: str) -> None:
        while kind not in self.kinds():
            assert not self.served.done()
            await asyncio.sleep(0)

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.received]


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


async def push(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.Event().wait()


async def farewell(websocket: WebSocket) -> None:
    await websocket.accept()
    with pytest.raises(WebSocketDisconnect) as stopped:
        await websocket.receive_text()
    assert stopped.value.code == 1012
    await websocket.close(1001)


async def impatient(websocket: WebSocket) -> None:
    await websocket.accept()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(websocket.receive_text(), 0.001)
    await websocket.send_text("nothing yet")
    await websocket.send_text(await websocket.receive_text())


@pytest.mark.parametrize(("code", "close"), [(echo, 1012), (push, 1012), (farewell, 1001)])
def test_a_stop_ends_it_and_the_client_knows(code: Code, close: int) -> None:
    async def main() -> None:
        streams = serving(code)
        client = Client(streams)
        await client.until("websocket.accept")
        await streams.end()
        await client.served
        assert client.kinds() == ["websocket.accept", "websocket.close"]
        assert client.received[-1]["code"] == close

    asyncio.run(main())


def test_one_that_opens_when_the_others_have_ended_is_ended_as_well() -> None:
    async def main() -> None:
        streams = serving(push)
        await streams.end()
        client = Client(streams)
        await client.served
        assert client.kinds() == ["websocket.accept", "websocket.close"]

    asyncio.run(main())


def test_a_message_that_comes_while_nobody_waits_is_not_lost() -> None:
    async def main() -> None:
        client = Client(serving(impatient))
        await client.until("websocket.send")
        await asyncio.sleep(0.01)  # the code waits again
        client.say("websocket.receive", text="first")
        await client.served
        assert client.received[-1]["text"] == "first"

    asyncio.run(main())


def test_a_client_that_leaves_is_the_affair_of_the_code() -> None:
    async def main() -> None:
        client = Client(serving(echo))
        client.say("websocket.disconnect", code=1001)
        with pytest.raises(WebSocketDisconnect):
            await client.served
        assert client.kinds() == ["websocket.accept"]

    asyncio.run(main())
