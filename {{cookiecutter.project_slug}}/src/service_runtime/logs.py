"""Logs on stdout: one JSON object per line, tracebacks inside their object; on a terminal, lines to read."""

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

# The id of the current request, for its log lines and for requests to other services.
request_id: ContextVar[str] = ContextVar("request_id", default="")

ACCESS = logging.getLogger("service.access")
# What every record has, and uvicorn's message with colours: all else is logged as fields.
KNOWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}  # to some programs


def configure() -> None:
    """Send all logs, warnings and uncaught exceptions to stdout, from level INFO on."""
    # In any locale; and half a character is escaped, not lost.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Lines() if sys.stdout.isatty() else Objects())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(True)
    # Not logged, and a third of the time that a line takes.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    log = logging.getLogger(__name__)
    sys.excepthook = lambda *error: log.critical("uncaught exception", exc_info=error)
    for module, hook in (threading, "excepthook"), (sys, "unraisablehook"):
        setattr(
            module, hook, lambda one: sys.excepthook(one.exc_type, one.exc_value or one.exc_type(), one.exc_traceback)
        )


def trace(service: str) -> None:
    """Start OpenTelemetry as `opentelemetry-instrument` does, if it is a dependency and an OTEL_* variable is set."""
    if any(name.startswith("OTEL_") for name in os.environ):
        try:
            from opentelemetry.instrumentation.auto_instrumentation import initialize
        except ModuleNotFoundError:
            return
        os.environ.setdefault("OTEL_SERVICE_NAME", service)
        initialize()


def access(scope: Mapping[str, Any], status: int, begin: float) -> None:
    """Write the line of a request (ASGI scope) that began at a time of `perf_counter`: its route, and no query."""
    route = scope["path"] + "/"
    for name, value in reversed(scope.get("path_params", {}).items()):
        head, found, tail = route.rpartition(f"/{value}/")
        route = f"{head}/{{{name}}}/{tail}" if found else route
    fields = {"method": scope.get("method", "WEBSOCKET"), "route": route[:-1] or "/", "status": status}
    fields |= {"duration_ms": round((perf_counter() - begin) * 1000, 1), "client": (scope["client"] or [""])[0]}
    # As `info` does, without looking for the line of code that called it.
    message = f"{fields['method']} {fields['route']} {status}"
    if ACCESS.isEnabledFor(logging.INFO):
        ACCESS.handle(ACCESS.makeRecord(ACCESS.name, logging.INFO, "", 0, message, (), None, extra=fields))


class Objects(logging.Formatter):
    """A record as a JSON object on one line, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = _fields(self, record)
        try:
            line = _encode(fields)
        except (ValueError, TypeError, RecursionError):  # nan, a key that is no text, a circle
            line = _encode({str(name): _text(value) for name, value in fields.items()})
        return line if line.isascii() else line.translate(LINE_ENDS)


class Lines(logging.Formatter):
    """A record as a line to read, and its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines."""
        fields = _fields(self, record)
        time, level, logger, message = (fields.pop(name) for name in ("timestamp", "level", "logger", "message"))
        trace = f"\n{fields.pop('traceback')}" if "traceback" in fields else ""
        return (
            " ".join([time[11:19], level, f"{logger}:", message, *(f"{k}={_text(v)}" for k, v in fields.items())])
            + trace
        )


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    try:
        message = record.getMessage()
    except Exception:  # its arguments do not fit
        message = f"{_text(record.msg)} {_text(record.args)}"
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields = {"timestamp": time, "level": record.levelname, "logger": record.name, "message": message}
    if identity := request_id.get():
        fields["request_id"] = identity
    trace = sys.modules.get("opentelemetry.trace")
    if trace and (context := trace.get_current_span().get_span_context()).is_valid:
        fields["trace_id"] = f"{context.trace_id:032x}"
    fields |= {name: value for name, value in vars(record).items() if name not in KNOWN}
    if record.exc_info:
        fields["traceback"] = formatter.formatException(record.exc_info)
    return fields


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} that has no text>"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_text).encode
