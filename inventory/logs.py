"""Logs for the journal: one JSON object a line, ids in it, never a prompt and never a key.

Only what a call passes in `extra` gets in. Of an exception, its type and the places it went through
are written, not its text: that may quote what a client sent.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType

import orjson

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}
# Syslog levels in front of the line tell journald the priority (sd-daemon(3)).
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}

Filter = Callable[[logging.LogRecord], bool]


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; with `journal`, prefixed by its priority."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = _places(record.exc_info[2])
        text = orjson.dumps(line, default=str).decode()
        return f"<{_PRIORITY.get(record.levelno, 5)}>{text}" if self._journal else text


def configure(
    level: str, *, journal: bool, quiet: Iterable[str] = (), drop: Filter | None = None
) -> None:
    """Send every logger of this process to stdout; call once, in `main()`.

    Loggers in `quiet` speak from warnings on; records for which `drop` is true are left out.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(journal=journal))
    if drop is not None:
        handler.addFilter(lambda record: not drop(record))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
