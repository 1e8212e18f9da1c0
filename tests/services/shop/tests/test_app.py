import pytest
from fastapi.testclient import TestClient

from shop.app import create_app
from shop.settings import Settings


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings))


def test_the_basket_is_found_without_its_slash_and_after_a_purchase(client: TestClient) -> None:
    assert client.get("/basket").json()["url"] == "http://testserver/basket/"
    assert client.post("/basket/").json()["client"] == "testclient"
