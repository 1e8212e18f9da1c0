"""The routes that tell an orchestrator whether the service is alive and ready."""

import logging
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response, status

from service_runtime.stop import stop

Check = Callable[[], Awaitable[bool]]


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Return whether a line of uvicorn's access log is not a successful probe; those would drown the others."""
    match record.args:
        case (_client, _method, "/healthz" | "/readyz", _version, 200):
            return False
    return True


def probes(*checks: Check) -> APIRouter:
    """Return the routes /healthz and /readyz.

    /healthz answers 200 while the process is alive. /readyz answers 200 while the service can take requests, and 503
    once a stop is requested, or while one of the `checks` (of a database, for example) returns False.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def alive() -> str:
        return "alive"

    @router.get("/readyz")
    async def ready(response: Response) -> str:
        if stop.requested:
            answer = "stopping"
        elif not all([await check() for check in checks]):
            answer = "not ready"
        else:
            return "ready"
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return answer

    return router
