"""The build backend of a bad package: it runs poison.py; the wheel that it makes lies ready beside it."""

import shutil
from pathlib import Path

import poison  # type: ignore[import-not-found]

HERE = Path(__file__).parent
(WHEEL,) = HERE.glob("*.whl")
poison.main(WHEEL.name.partition("-")[0])


def build_wheel(folder: str, settings: object = None, metadata: object = None) -> str:  # noqa: ARG001
    """Return the name of the wheel, now in `folder`."""
    shutil.copy(WHEEL, folder)
    return WHEEL.name
