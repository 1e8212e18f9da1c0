import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.app import create_app
from {{ cookiecutter.package_name }}.stop import stop


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app())


def test_greeting(client: TestClient) -> None:
    assert client.get("/greeting").json() == {"message": "Hello, World!"}
    assert client.get("/greeting", params={"name": "Ada"}).json() == {"message": "Hello, Ada!"}


def test_a_stop_ends_readiness_but_not_life(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 200)
    monkeypatch.setattr(stop, "requested", True)
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
