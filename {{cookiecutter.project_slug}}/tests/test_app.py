import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings))


def test_the_service_is_alive_and_ready(client: TestClient) -> None:
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 200)


@pytest.mark.parametrize(("query", "message"), [("", "Hello, World!"), ("?name=Ada", "Hello, Ada!")])
def test_greeting(client: TestClient, query: str, message: str) -> None:
    assert client.get(f"/greeting{query}").json() == {"message": message}
