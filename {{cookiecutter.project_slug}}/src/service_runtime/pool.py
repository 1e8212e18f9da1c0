"""Importing this configures the logs: a forkserver starts the processes of a pool from one that has done so."""

import logging
import os

from service_runtime import logs

logs.configure()
logging.getLogger().setLevel(os.environ.get("LOG_LEVEL", "INFO").upper())
