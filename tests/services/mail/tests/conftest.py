"""What all tests share."""

import pytest

from mail.settings import Settings
from service_runtime.settings import load


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a test, whatever this machine's environment says."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("QUEUE_URL", "redis://127.0.0.1:1")
    return load(Settings)
