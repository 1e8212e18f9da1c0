"""The entry point, in three steps: each relies on the one before, even while the rest is imported."""

from .init import fork_below_init
from .stop import stop

if __name__ == "__main__":
    fork_below_init()
    stop.listen()

import logging

from . import logs, settings

if __name__ == "__main__":
    logs.configure()
    configuration = settings.load()
    logging.getLogger().setLevel(configuration.log_level)
    stop.timeout = configuration.shutdown_timeout

{% if cookiecutter.service_type == "fastapi" -%}
from .app import app
from .server import run

if __name__ == "__main__":
    run(configuration, app)
{%- else -%}
from .worker import job, run

if __name__ == "__main__":
    run(configuration, job)
{%- endif %}
