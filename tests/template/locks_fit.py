"""Check projects as `poetry check --lock --strict` does, all in one process: `locks_fit.py FOLDER...`.

It fails at the first that is wrong. A program of its own, since Poetry imports another `build` than that of tools.
"""

import sys
from pathlib import Path

from poetry.factory import Factory

for folder in sys.argv[1:]:
    poetry = Factory().create_poetry(Path(folder))
    assert poetry.locker.is_fresh(), f"{folder}: poetry.lock does not fit pyproject.toml"
    found = Factory.validate(poetry.pyproject.data, strict=True)
    assert not found["errors"] + found["warnings"], f"{folder}: {found}"
