"""Run Poetry without the project's Python: `make lock`.

    python -P tools/poetry_anywhere.py COMMAND ...

Poetry refuses to lock without the project's Python, although locking does not run it. Here it uses the Python that it
runs on itself. (-P: both Poetry's dependencies and this folder have a package named `build`.) Exit status: Poetry's.
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
