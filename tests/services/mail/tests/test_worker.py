from unittest.mock import MagicMock

import pytest
from redis.exceptions import ResponseError

from mail import worker
from mail.settings import Settings

MAILS = [("1", {"to": "ada@example.com"}), ("2", {"to": "grace@example.com", "steps": "9"})]


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    redis = MagicMock()
    redis.xgroup_create.side_effect = ResponseError
    redis.xreadgroup.side_effect = [[["mails", [mail]]] for mail in MAILS]
    monkeypatch.setattr("redis.Redis.from_url", lambda *_, **__: redis)
    return redis


def test_what_is_sent_is_acknowledged_and_what_a_stop_interrupts_is_not(redis: MagicMock, settings: Settings) -> None:
    answers = iter([True] * 5 + [False] * 2)
    worker.create_job(settings)(lambda: next(answers))
    assert [call.args[2] for call in redis.xack.call_args_list] == ["1"]
