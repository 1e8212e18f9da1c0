from fastapi.testclient import TestClient

from chat.app import create_app
from chat.settings import Settings


def test_everybody_in_the_room_hears_it(settings: Settings) -> None:
    client = TestClient(create_app(settings))
    with client, client.websocket_connect("/room") as ada, client.websocket_connect("/room") as bob:
        assert (ada.receive_text(), bob.receive_text()) == ("welcome", "welcome")
        ada.send_text("hello")
        assert (ada.receive_text(), bob.receive_text()) == ("hello", "hello")
