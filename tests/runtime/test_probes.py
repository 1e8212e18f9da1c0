import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service_runtime.probes import probes
from service_runtime.stop import stop


def test_a_stop_ends_readiness_but_not_life(monkeypatch: pytest.MonkeyPatch) -> None:
    app = FastAPI()
    app.include_router(probes())
    client = TestClient(app)
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 200)
    monkeypatch.setattr(stop, "requested", True)
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)


def test_a_service_is_ready_when_all_its_checks_say_so() -> None:
    answers = {"database": True, "queue": False}

    async def database() -> bool:
        return answers["database"]

    async def queue() -> bool:
        return answers["queue"]

    app = FastAPI()
    app.include_router(probes(database, queue))
    client = TestClient(app)
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (503, "not ready")
    assert client.get("/healthz").status_code == 200
    answers["queue"] = True
    assert client.get("/readyz").status_code == 200
