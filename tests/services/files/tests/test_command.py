import io
from types import SimpleNamespace

import pytest

from files.command import main


@pytest.mark.parametrize(("content", "status"), [(b"%PDF-1.7\n", 0), (b"what?", 1)])
def test_status(content: bytes, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert main() == status
