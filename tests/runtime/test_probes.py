import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service_runtime import probes
from service_runtime.stop import stop


def client(*checks: Callable[[], Awaitable[bool]]) -> TestClient:
    app = FastAPI()
    app.include_router(probes.probes(*checks))
    return TestClient(app)


def test_a_stop_ends_readiness_but_not_life(monkeypatch: pytest.MonkeyPatch) -> None:
    service = client()
    assert (service.get("/healthz").status_code, service.get("/readyz").status_code) == (200, 200)
    monkeypatch.setattr(stop, "requested", True)
    assert (service.get("/healthz").status_code, service.get("/readyz").status_code) == (200, 503)


def test_a_service_is_ready_when_all_its_checks_say_so() -> None:
    answers = {"database": True, "queue": False}

    async def database() -> bool:
        return answers["database"]

    async def queue() -> bool:
        return answers["queue"]

    service = client(database, queue)
    assert (service.get("/readyz").status_code, service.get("/readyz").json()) == (503, "not ready")
    assert service.get("/healthz").status_code == 200
    answers["queue"] = True
    assert service.get("/readyz").status_code == 200


def test_a_check_that_raises_or_takes_too_long_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused() -> bool:
        raise ConnectionRefusedError("no database")

    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(probes, "timeout", 0.05)
    for check, line in ((refused, "ConnectionRefusedError: no database"), (hangs, "TimeoutError: ")):
        caplog.clear()
        response = client(check).get("/readyz")
        assert (response.status_code, response.json()) == (503, "not ready")
        assert [record.getMessage() for record in caplog.records if record.name == probes.__name__] == [
            f"not ready: {line}"
        ]
        assert not any(record.exc_info for record in caplog.records)
