"""The `request` lines of the log: one for each request, in the form of inventory.logs, written in
batches. Formatting and writing each by itself would cost as much as relaying it.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime

import orjson

from gateway.exchange import Exchange

FLUSH_SECONDS = 0.1
FLUSH_LINES = 512


def ids_of(exchange: Exchange) -> dict[str, str]:
    """What every line about a request says of it: its id, and its trace's where there is one."""
    trace = exchange.traceparent
    if trace is None:
        return {"request_id": exchange.request_id}
    return {"request_id": exchange.request_id, "trace_id": trace[3:35]}


class RequestLog:
    """Collects lines and writes them at least every `FLUSH_SECONDS`. `journal` as in logs."""

    def __init__(
        self, clock: Callable[[], datetime], *, journal: bool, file_descriptor: int | None = None
    ) -> None:
        self._clock, self._prefix = clock, b"<6>" if journal else b""
        self._file = sys.stdout.fileno() if file_descriptor is None else file_descriptor
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(
        self, ids: Mapping[str, str], route: str, status: int, seconds: float, *, whole: bool
    ) -> None:
        """Note the end of a request; `ids` are those of `ids_of`."""
        line = {
            "time": self._clock(),
            "level": "info",
            "logger": "gateway.requests",
            "message": "request",
            **ids,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "whole": whole,
        }
        self._lines.append(b"%b%b\n" % (self._prefix, orjson.dumps(line)))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self.flush)
        elif len(self._lines) >= FLUSH_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data, self._lines = b"".join(self._lines), []
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except OSError:
                return
