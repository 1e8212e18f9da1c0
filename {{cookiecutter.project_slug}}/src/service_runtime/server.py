"""The HTTP server: uvicorn, with a stop that loses no request.

By itself, uvicorn resets the connections that the kernel has taken and it has not, and closes the idle ones at once.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from service_runtime import health, probes
from service_runtime.middleware import Middleware
from service_runtime.protocol import Protocol
from service_runtime.settings import ServerSettings
from service_runtime.stop import stop

LINGER = 0.15  # seconds that an idle connection is kept after a stop, for a request that is on its way
GRACE = 0.25  # seconds for the code of a stream to end by itself
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where the health check finds what listens everywhere

logger = logging.getLogger(__name__)


def run(app: ASGIApp, settings: ServerSettings) -> None:
    """Serve `app` until a stop is requested, then end the process; for its exit status see `serve`."""
    stop.delay, probes.timeout = settings.shutdown_delay, settings.ready_timeout
    server = Server(Middleware(app, settings), settings)
    stop.running = True
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve_until_stop())
    stop.status = int(server.cut_off or stop.failed)
    sys.exit(stop.status)


class Server(uvicorn.Server):
    """uvicorn's server with another stop: `capture_signals` and `shutdown` are overridden."""

    cut_off = False

    def __init__(self, middleware: Middleware, settings: ServerSettings) -> None:
        """Serve `middleware` according to `settings`."""
        config = uvicorn.Config(middleware, http=Protocol, log_config=None, access_log=False, server_header=False)
        config.host, config.port, config.timeout_keep_alive = settings.host, settings.port, settings.keep_alive
        config.forwarded_allow_ips = settings.forwarded_allow_ips
        config.timeout_graceful_shutdown = 1  # for what `shutdown` has cut off
        super().__init__(config)
        self._middleware = middleware

    async def serve_until_stop(self) -> None:
        """Serve; a stop during the start cancels it."""
        host, listener = self.config.host, self.config.bind_socket()
        with contextlib.suppress(OSError):  # without a place for it, the check asks the default port
            health.note(f"port {ANY.get(host, host)} {self.config.port}")
        serving, stopping = asyncio.create_task(self.serve([listener])), asyncio.create_task(stop.wait())
        serving.add_done_callback(lambda task: task.cancelled() or task.exception())  # uvicorn has logged it
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not (self.started or serving.done()):
            logger.info("stopped during the start")
            serving.cancel()
            return
        if stop.delay:
            logger.info("stopping in %g s", stop.delay)
        await asyncio.sleep(stop.delay)
        self.should_exit = True
        await serving

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `stop`."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what has arrived, or is on its way on an open connection; cut off what takes too long."""
        loop, connections, tasks = asyncio.get_running_loop(), self.server_state.connections, self.server_state.tasks
        deadline = loop.time() + stop.timeout - 1.5  # leaves time for the rest before `stop` ends the process
        logger.info("stopping", extra={"connections": len(connections), "requests": len(tasks)})
        for listener in sockets or []:
            await self._close(listener)
        await asyncio.sleep(LINGER)
        for connection in [*connections]:
            connection.shutdown()
        await asyncio.sleep(GRACE if self._middleware.streams else 0)
        self._middleware.end_streams()
        while (connections or tasks) and loop.time() < deadline:
            await asyncio.sleep(0.01)
        if connections or tasks:
            self.cut_off = True
            logger.error("cut off", extra={"connections": len(connections), "requests": len(tasks)})
            for task in tasks:
                task.cancel()
        await super().shutdown(sockets)

    async def _close(self, listener: socket.socket) -> None:
        # What the kernel has accepted is taken before the last descriptor is closed: it would be reset.
        waiting = listener.dup()
        waiting.setblocking(False)
        for server in self.servers:
            server.close()
        with contextlib.suppress(BlockingIOError), waiting:
            while True:
                connection, _ = waiting.accept()
                make = functools.partial(Protocol, self.config, self.server_state, self.lifespan.state)
                await asyncio.get_running_loop().connect_accepted_socket(make, connection)
