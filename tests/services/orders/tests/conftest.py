"""What all tests share."""

from pathlib import Path

import pytest

from orders.settings import Settings
from service_runtime.settings import load


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a test, whatever this machine's environment says; its database is a file."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/orders.db")
    return load(Settings)
