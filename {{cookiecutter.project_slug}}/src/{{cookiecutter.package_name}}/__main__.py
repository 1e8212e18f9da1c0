"""The entry point."""

import logging

from .init import fork_below_init
from .stop import stop

if __name__ == "__main__":
    # First of all: the init stays small, and a stop or a failure during the imports below is not lost.
    fork_below_init()
    stop.listen()

from . import logs, settings

if __name__ == "__main__":
    logs.configure()

{% if cookiecutter.service_type == "fastapi" -%}
from .app import create_app
from .server import run
{%- else -%}
from .worker import job, run
{%- endif %}

if __name__ == "__main__":
    configuration = settings.load()
    logging.getLogger().setLevel(configuration.log_level)
    stop.timeout = configuration.shutdown_timeout
{%- if cookiecutter.service_type == "fastapi" %}
    run(configuration, create_app())
{%- else %}
    run(configuration, job)
{%- endif %}
