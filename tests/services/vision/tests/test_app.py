import cv2
import numpy
import pytest
from fastapi.testclient import TestClient

from vision.app import create_app
from vision.settings import Settings


@pytest.mark.parametrize("path", ["/edges", "/histogram"])
def test_a_picture(settings: Settings, path: str) -> None:
    client = TestClient(create_app(settings))
    picture = cv2.imencode(".png", numpy.eye(64, dtype=numpy.uint8) * 255)[1].tobytes()
    assert client.post(path, content=picture).content.startswith(b"\x89PNG")
    assert client.post(path, content=b"no picture").status_code == 422
