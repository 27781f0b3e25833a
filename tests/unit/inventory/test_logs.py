"""Log lines: JSON, with what was passed on purpose and nothing of an exception's text."""

import json
import logging
import sys

from inventory.logs import JsonFormatter


def record(level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway", level, __file__, 1, "said %s", ("this",), None)
    made.__dict__.update(extra)
    return made


def test_a_record_is_one_line_of_json_with_its_extras() -> None:
    line = json.loads(JsonFormatter(journal=False).format(record(request_id="r-1", status=200)))
    assert (line["message"], line["level"], line["logger"]) == ("said this", "info", "gateway")
    assert (line["request_id"], line["status"]) == ("r-1", 200)
    assert line["time"].endswith("+00:00")


def test_the_journal_is_told_the_priority() -> None:
    assert JsonFormatter(journal=True).format(record(logging.ERROR)).startswith('<3>{"time"')


def test_an_exception_is_its_type_and_places_and_not_its_text() -> None:
    made = record(logging.ERROR)
    try:
        raise ValueError("my prompt: secret")
    except ValueError:
        made.exc_info = sys.exc_info()
    text = JsonFormatter(journal=False).format(made)
    assert "secret" not in text
    assert json.loads(text)["exception"] == "ValueError"
    assert "test_logs.py" in json.loads(text)["trace"][0]


def test_a_line_break_in_a_value_stays_in_its_line() -> None:
    assert "\n" not in JsonFormatter(journal=False).format(record(path="a\nb"))
