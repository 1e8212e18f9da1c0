"""Logs: one JSON object per line on stdout, tracebacks inside their object, time stamps in UTC (ISO 8601)."""

import logging
import sys
import threading
from contextvars import ContextVar
from types import TracebackType

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

# The id of the current request, for its log lines and for requests to other services.
request_id: ContextVar[str] = ContextVar("request_id", default="")


def configure() -> None:
    """Send all logs, warnings and uncaught exceptions to stdout as JSON lines, from level INFO on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "traceback"},
            # uvicorn's message again, with colours.
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
            timestamp=True,
        )
    )
    handler.addFilter(_add_request_id)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def _add_request_id(record: logging.LogRecord) -> bool:
    """Add the id of the current request, if there is one, to a log line."""
    if identity := request_id.get():
        record.request_id = identity
    return True


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log an exception that nothing caught."""
    logging.getLogger(__name__).critical("uncaught exception", exc_info=(kind, error, trace))
