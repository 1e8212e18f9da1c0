"""The HTTP server: uvicorn, with a stop that loses no request.

By itself, uvicorn closes the listening socket and idle connections at once, and requests on their way there
get lost.
"""

import array
import asyncio
import contextlib
import logging
import select
import socket
import struct
import sys
from collections.abc import Iterator

import uvicorn
import uvicorn.lifespan.on  # uvicorn imports it by name only
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .settings import Settings
from .stop import stop

LINGER = 0.25  # seconds that an idle connection is kept after a stop, for a request that is on its way
TICK = 0.01  # seconds between two looks at the connections

logger = logging.getLogger(__name__)


def run(settings: Settings, app: ASGIApp) -> None:
    """Serve `app` until a stop is requested.

    Exits with status 1 when requests had to be cut off, with 3 when the port is taken or the start fails.
    """
    config = uvicorn.Config(
        closing(app),
        host=settings.host,
        port=settings.port,
        http=HttpToolsProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        workers=1,
        server_header=False,
        # Longer than the 60 s of common load balancers, so that they close an idle connection first.
        timeout_keep_alive=75,
        # For requests that `Server.shutdown` has cut off.
        timeout_graceful_shutdown=1,
    )
    server = Server(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve([config.bind_socket()]))
    sys.exit(server.cut_off)


def closing(app: ASGIApp) -> ASGIApp:
    """Return `app` with every response closing its connection once a stop is requested."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if stop.requested and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, send_closing)

    return wrapped


class Server(uvicorn.Server):
    """uvicorn's server with another stop."""

    cut_off = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `stop`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to stop; uvicorn asks every 0.1 s."""
        return await super().on_tick(counter) or stop.requested

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer all that has arrived or is on its way; cut off what takes longer than the timeout."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + stop.timeout - 1  # leaves time for the rest, before `stop` strikes
        connections, tasks = self.server_state.connections, self.server_state.tasks
        logger.info("stopping", extra={"connections": len(connections), "requests": len(tasks)})

        # Connections stay open for a while, and new ones are let in: responses close them.
        await asyncio.sleep(LINGER)
        for listener in sockets or ():
            _refuse_new(listener)
        while any(_has_input(listener) for listener in sockets or ()) and loop.time() < deadline:
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

        linger_end = loop.time() + LINGER
        while (connections or tasks) and loop.time() < deadline:
            await asyncio.sleep(TICK)
            if loop.time() > linger_end:
                for connection in list(connections):
                    if isinstance(connection, HttpToolsProtocol) and _is_idle(connection):
                        connection.shutdown()
        if connections or tasks:
            self.cut_off = True
            logger.error("cut off", extra={"connections": len(connections), "requests": len(tasks)})
            for task in tasks:
                task.cancel()
        await super().shutdown(sockets)


def _refuse_new(listener: socket.socket) -> None:
    """Let no new connection begin, but keep those that wait to be accepted: closing the socket resets them.

    A socket filter of Linux drops a new one's first packet (SYN). Its client tries again, and is refused once
    the socket is closed. Where there is no such filter, that moment stays a risk.
    """
    # Load byte 13 of the TCP header, the flags; unless SYN (2) is among them, skip one; drop; keep.
    steps = [(0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)]
    program = array.array("B", b"".join(struct.pack("HBBI", *step) for step in steps))
    with contextlib.suppress(OSError):
        attach_filter = 26  # SO_ATTACH_FILTER, which the socket module does not name
        reference = struct.pack("HP", len(steps), program.buffer_info()[0])
        listener.setsockopt(socket.SOL_SOCKET, attach_filter, reference)


def _has_input(source: socket.socket) -> bool:
    """Return whether the kernel holds a connection to accept, or data to read."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(0))


def _is_idle(connection: HttpToolsProtocol) -> bool:
    """Return whether no request has begun on the connection that is not yet answered."""
    if _has_input(connection.transport.get_extra_info("socket")):
        return False
    # uvicorn makes a scope at the first byte of a request, and a cycle from it when the head is complete.
    cycle = connection.cycle
    if cycle is None:
        return connection.scope is None
    return cycle.response_complete and cycle.scope is connection.scope
