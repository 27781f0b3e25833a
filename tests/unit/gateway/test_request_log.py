"""Lines of the request log are what the other loggers' lines are: one JSON object each."""

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.moments import datetime_of
from gateway.request_log import RequestLog

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
REQUEST_ID = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)


def written(log: RequestLog, reading: int, *given: Any, whole: bool = True) -> bytes:
    """The one line that this leaves in the file."""

    async def write() -> None:
        log.write(*given, whole=whole)
        log.flush()

    asyncio.run(write())
    return os.read(reading, 65536)


def exchange(request_id: str = "r-1", trace: str | None = None) -> Any:
    return SimpleNamespace(request_id=request_id, traceparent=trace)


@given(
    REQUEST_ID, st.none() | st.just(TRACE), st.integers(0, 2**62), st.integers(0, 10**7),
    st.booleans(),
)  # fmt: skip
def test_a_line_put_together_is_what_orjson_writes(
    request_id: str, trace: str | None, now: int, tenths: int, whole: bool
) -> None:
    reading, writing = os.pipe()
    try:
        log = RequestLog(lambda: now, journal=True, file_descriptor=writing)
        said = exchange(request_id, trace)
        line = written(log, reading, said, "messages", 200, tenths / 10_000, whole=whole)
    finally:
        os.close(reading)
        os.close(writing)
    at = datetime_of(now).isoformat(timespec="microseconds")
    expected = {
        "time": at, "level": "info", "logger": "gateway.requests", "message": "request",
        "request_id": request_id, **({} if trace is None else {"trace_id": "a" * 32}),
        "route": "messages", "status": 200, "duration_ms": tenths / 10, "whole": whole,
    }  # fmt: skip
    assert line == b"<6>%b\n" % orjson.dumps(expected)
