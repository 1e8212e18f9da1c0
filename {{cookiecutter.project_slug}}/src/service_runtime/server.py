"""The HTTP server: uvicorn, with a stop that loses no request.

By itself, uvicorn closes the listening socket and idle connections at once, and requests on their way there
get lost.
"""

import asyncio
import contextlib
import logging
import select
import socket
import sys
from collections.abc import Callable, Iterator

# uvicorn imports some modules by name. Imported here, they get bytecode in the image.
import uvicorn
import uvicorn.lifespan.on
import uvicorn.protocols.websockets.auto
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service_runtime.middleware import closing, identified, published_below, with_room_for_uploads
from service_runtime.probes import is_worth_logging
from service_runtime.settings import ServerSettings
from service_runtime.stop import stop
from service_runtime.streams import GRACE, Streams

# Only if the service depends on `websockets`; without it, uvicorn warns about clients that try.
with contextlib.suppress(ImportError):
    import uvicorn.protocols.websockets.websockets_sansio_impl

LINGER = 0.15  # seconds that an idle connection is kept after a stop, for a request that is on its way
HANDSHAKE = 0.05  # seconds for a connection that is just being made
TICK = 0.01  # seconds between two looks at the connections

logger = logging.getLogger(__name__)


def serve(app: ASGIApp, settings: ServerSettings) -> None:
    """Serve `app` until a stop is requested, then end the process.

    Exit status 0; 1 if requests had to be cut off; 3 if the port is taken or the start fails.
    """
    settings.apply()
    logging.getLogger("uvicorn.access").addFilter(is_worth_logging)
    streams = Streams(closing(identified(published_below(settings.root_path, with_room_for_uploads(app)))))
    config = uvicorn.Config(
        streams,
        host=settings.host,
        port=settings.port,
        http=HttpToolsProtocol,
        lifespan="on",
        log_config=None,
        workers=1,
        server_header=False,
        forwarded_allow_ips=settings.proxies(),
        # Longer than the 60 s of common load balancers, so that they close an idle connection first.
        timeout_keep_alive=75,
        # For requests that `Server.shutdown` has cut off.
        timeout_graceful_shutdown=1,
    )
    server = Server(config, streams)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve([config.bind_socket()]))
    sys.exit(1 if server.cut_off else 0)


class Server(uvicorn.Server):
    """uvicorn's server with a stop that loses no request."""

    cut_off = False

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        """Serve according to `config`; end `streams` at a stop."""
        super().__init__(config)
        self._streams = streams

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `stop`."""
        yield

    async def main_loop(self) -> None:
        """Serve until it is time to stop. uvicorn checks for that ten times a second, which costs CPU when idle."""
        due = asyncio.create_task(_stop_is_due())
        while not due.done():
            await self.on_tick(0)  # sets the date in the headers of responses
            await asyncio.wait((due,), timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer all requests that have arrived or are on their way; cut off what takes longer than the timeout."""
        now = asyncio.get_running_loop().time
        deadline = now() + stop.timeout - 1  # leaves time for the rest before `stop` ends the process
        listeners = sockets or []
        connections, tasks = self.server_state.connections, self.server_state.tasks
        logger.info("stopping", extra={"connections": len(connections), "requests": len(tasks)})

        # Connections stay open for a while, and new ones are accepted; their responses close them.
        ending = asyncio.create_task(self._streams.end())
        await asyncio.sleep(LINGER)
        for listener in listeners:
            _refuse(listener)
        await asyncio.sleep(HANDSHAKE)
        await _wait(lambda: any(map(_has_input, listeners)), min(now() + LINGER, deadline))
        for server in self.servers:
            server.close()

        # Give those accepted last the same time.
        await _wait(lambda: bool(connections or tasks), min(now() + LINGER, deadline))
        await ending
        await _wait(self._has_requests, deadline)
        if self._has_requests():
            self.cut_off = True
            logger.error("cut off", extra={"connections": len(connections), "requests": len(tasks)})
            for task in tasks:
                task.cancel()
        # Only WebSockets are left whose clients have not answered the close.
        await _wait(lambda: bool(connections), now() + GRACE)
        await super().shutdown(sockets)

    def _has_requests(self) -> bool:
        """Close the idle connections; return whether there are others, or requests."""
        connections = [one for one in self.server_state.connections if isinstance(one, HttpToolsProtocol)]
        for connection in connections:
            if _is_idle(connection):
                connection.shutdown()
        return bool(connections or self.server_state.tasks)


async def _stop_is_due() -> None:
    """Return when a stop is requested and its delay is over, in which load balancers learn of it."""
    await stop.wait()
    if stop.delay:
        logger.info("stopping in %g s", stop.delay)
        await asyncio.sleep(stop.delay)


async def _wait(condition: Callable[[], bool], deadline: float) -> None:
    """Wait while `condition` holds, until `deadline` (time of the event loop) at most."""
    while condition() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(TICK)


def _refuse(listener: socket.socket) -> None:
    """Refuse new connections, but keep those being made or waiting: closing the socket would reset them.

    Linux (5.7 or newer, without privileges) looks for a listener on the network interface where a connection
    comes in; a listener bound to an interface that does not exist is never found. Elsewhere, nothing happens.
    """
    so_bindtoifindex = 62  # the socket module has no name for it
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, so_bindtoifindex, 2**31 - 1)


def _has_input(source: socket.socket) -> bool:
    """Return whether the kernel holds a connection to accept, or data to read."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(0))


def _is_idle(connection: HttpToolsProtocol) -> bool:
    """Return whether the connection is open, and every request that has begun to arrive on it is answered."""
    # uvicorn makes a scope at the first byte of a request, and a cycle from it when the head is complete.
    cycle: RequestResponseCycle | None = connection.cycle
    begun = cycle.scope if cycle else None
    answered = connection.scope is begun and (not cycle or cycle.response_complete)
    transport = connection.transport
    return answered and not transport.is_closing() and not _has_input(transport.get_extra_info("socket"))
