"""The routes that tell an orchestrator whether the service is alive and ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from service_runtime.stop import stop

Check = Callable[[], Awaitable[bool]]
logger = logging.getLogger(__name__)
timeout = 1.0  # seconds: READY_TIMEOUT


def probes(*checks: Check) -> APIRouter:
    """Return the routes /healthz and /readyz.

    /healthz answers 200 while the process is alive. /readyz answers 200 while the service can take requests, and 503
    once a stop is requested, or while one of the `checks` (of a database, for example) returns False, raises, or takes
    longer than READY_TIMEOUT. Once the lifespan has failed, both answer 503.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def alive(response: Response) -> str:
        response.status_code = 503 if stop.failed else 200
        return "failed" if stop.failed else "alive"

    @router.get("/readyz")
    async def ready(response: Response) -> str:
        answer = "stopping" if stop.requested else "ready" if await _hold(checks) else "not ready"
        response.status_code = 200 if answer == "ready" else 503
        return answer

    return router


async def _hold(checks: tuple[Check, ...]) -> bool:
    """Return whether all checks return True in time; log why one can't."""
    try:
        async with asyncio.timeout(timeout):
            return all([await check() for check in checks])
    except Exception as error:
        logger.warning("not ready: %s: %s", type(error).__name__, error)
        return False
