import logging
import sys
import threading
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from service_runtime import logs
from tests.runtime.processes import logged


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("shop").info("two\nlines of %s", "text", extra={"order": 7, "color_message": "-"})
    logging.getLogger("shop").debug("not shown")
    [line] = logged(capsys.readouterr().out)
    time = datetime.fromisoformat(line.pop("timestamp"))
    assert line == {"level": "INFO", "logger": "shop", "message": "two\nlines of text", "order": 7}
    assert time.tzinfo == UTC
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=5)


def test_a_line_says_which_request_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    token = logs.request_id.set("abc")
    logging.info("within")
    logs.request_id.reset(token)
    logging.info("after")
    within, after = logged(capsys.readouterr().out)
    assert within["request_id"] == "abc"
    assert "request_id" not in after


def test_a_traceback_stays_inside_its_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.exception("failed")
    [line] = logged(capsys.readouterr().out)
    assert line["traceback"].endswith("ZeroDivisionError: division by zero")


def test_warnings_and_uncaught_exceptions_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    sys.excepthook(KeyError, KeyError("main"), None)
    thread = threading.Thread(target={}.pop, args=["thread"])
    thread.start()
    thread.join()
    warning, main, other = logged(capsys.readouterr().out)
    assert "DeprecationWarning: old" in warning["message"]
    assert (main["level"], main["traceback"]) == ("CRITICAL", "KeyError: 'main'")
    assert other["traceback"].endswith("KeyError: 'thread'")
