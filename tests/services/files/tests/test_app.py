import pytest
from fastapi.testclient import TestClient

from files.app import create_app
from files.settings import Settings


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings))


@pytest.mark.parametrize(("content", "kind"), [(b"%PDF-1.7\n", "document"), (b"what?", "unknown")])
def test_upload(client: TestClient, content: bytes, kind: str) -> None:
    answer = client.post("/files", files={"file": content}).json()
    assert (answer["bytes"], answer["kind"]) == (len(content), kind)


def test_notice(client: TestClient) -> None:
    assert "not kept" in client.get("/notice").text
