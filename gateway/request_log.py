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


class _Line:
    """What a line says; it is put together when it is written."""

    __slots__ = ("moment", "request_id", "route", "seconds", "status", "trace", "whole")

    def __init__(
        self,
        moment: int,
        exchange: Exchange,
        route: str,
        status: int,
        seconds: float,
        whole: bool,
    ) -> None:
        self.moment, self.request_id, self.trace = moment, exchange.request_id, exchange.traceparent
        self.route, self.status, self.seconds, self.whole = route, status, seconds, whole

    def text(self) -> str:
        """Nothing in it needs escaping: see request.request_id."""
        trace = "" if self.trace is None else f'"trace_id":"{self.trace[3:35]}",'
        tenths = int(self.seconds * 10_000 + 0.5)
        return (
            f'{{"time":"{text_of(self.moment)}+00:00","level":"info",'
            f'"logger":"{LOGGER}","message":"request","request_id":"{self.request_id}",'
            f'{trace}"route":"{self.route}","status":{self.status},'
            f'"duration_ms":{tenths // 10}.{tenths % 10},'
            f'"whole":{"true" if self.whole else "false"}}}\n'
        )


class RequestLog:
    """Collects lines and writes them at least every `FLUSH_SECONDS`. `journal` as in logs."""

    def __init__(
        self, clock: Callable[[], int], *, journal: bool, file_descriptor: int | None = None
    ) -> None:
        """`clock`: nanoseconds since 1970."""
        self._clock, self._prefix = clock, "<6>" if journal else ""
        self._file = sys.stdout.fileno() if file_descriptor is None else file_descriptor
        self._lines: list[_Line] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(
        self, exchange: Exchange, route: str, status: int, seconds: float, *, whole: bool
    ) -> None:
        """Note the end of a request."""
        self._lines.append(_Line(self._clock(), exchange, route, status, seconds, whole))
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
        lines, self._lines = self._lines, []
        data = "".join([self._prefix + line.text() for line in lines]).encode()
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except OSError:
                return
