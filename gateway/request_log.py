"""The `request` lines of the log: one for each request, in the form of inventory.logs, written in
batches. Formatting and writing each by itself would cost as much as relaying it.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Final

from gateway.exchange import Exchange
from gateway.moments import text_of

LOGGER: Final = "gateway.requests"
FLUSH_SECONDS: Final = 0.1
FLUSH_LINES: Final = 512


def ids_of(exchange: Exchange) -> dict[str, str]:
    """What every line about a request says of it: its id, and its trace's where there is one."""
    trace = exchange.traceparent
    if trace is None:
        return {"request_id": exchange.request_id}
    return {"request_id": exchange.request_id, "trace_id": trace[3:35]}


class RequestLog:
    """Collects lines and writes them at least every `FLUSH_SECONDS`. `journal` as in logs."""

    def __init__(
        self, clock: Callable[[], int], *, journal: bool, file_descriptor: int | None = None
    ) -> None:
        """`clock`: nanoseconds since 1970."""
        self._clock, self._prefix = clock, "<6>" if journal else ""
        self._file = sys.stdout.fileno() if file_descriptor is None else file_descriptor
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(
        self, exchange: Exchange, route: str, status: int, seconds: float, *, whole: bool
    ) -> None:
        """Note the end of a request. Nothing in a line needs escaping: see request.request_id."""
        parent = exchange.traceparent
        trace = "" if parent is None else f'"trace_id":"{parent[3:35]}",'
        tenths = int(seconds * 10_000 + 0.5)
        self._lines.append(
            f'{self._prefix}{{"time":"{text_of(self._clock())}+00:00","level":"info",'
            f'"logger":"{LOGGER}","message":"request","request_id":"{exchange.request_id}",'
            f'{trace}"route":"{route}","status":{status},'
            f'"duration_ms":{tenths // 10}.{tenths % 10},'
            f'"whole":{"true" if whole else "false"}}}\n'
        )
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
        data, self._lines = "".join(self._lines).encode(), []
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except OSError:
                return
