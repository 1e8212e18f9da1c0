"""What all tests share."""

import pytest

from {{ cookiecutter.package_name }}.settings import Settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a test, whatever this machine's environment says. Give those without a default here."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return Settings()
