from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from pydantic import SecretStr

from orders.app import create_app
from orders.settings import Settings


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    command.upgrade(Config("alembic.ini"), "head")
    with TestClient(create_app(settings)) as client:
        yield client


def test_an_order_is_taken_and_confirmed(client: TestClient) -> None:
    taken = client.post("/orders", json={"item": "tea"})
    assert (taken.status_code, taken.json()) == (201, 1)
    assert client.get("/orders/1").json() == {"item": "tea", "confirmed": True}
    assert client.get("/orders/2").status_code == 404


def test_ready_with_a_database(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200


def test_alive_without_one(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": SecretStr("sqlite:////nowhere/orders.db")})
    with TestClient(create_app(nowhere)) as client:
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
