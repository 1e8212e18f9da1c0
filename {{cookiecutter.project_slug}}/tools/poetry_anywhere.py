"""Run Poetry without the project's Python: `make lock`.

    python -P tools/poetry_anywhere.py COMMAND ...

Poetry refuses to lock for a Python that it can't find, though locking runs none: it gets the one that this runs on.
(-P: Poetry has a package named build, and so has this folder.) Exit status: Poetry's.
"""

import sys

from poetry.console.application import main
from poetry.utils.env import Env, EnvManager


def own_environment(manager: EnvManager, *_: object, **__: object) -> Env:
    """Return the environment that Poetry runs in, in place of the project's."""
    return manager.get_system_env()


if __name__ == "__main__":
    EnvManager.create_venv = own_environment  # type: ignore[method-assign, assignment]
    sys.exit(main())
