"""The one place that opens sockets to upstreams: mutual TLS 1.3, bounded in time and size.

Answers are bytes as they came (nothing is decompressed: nothing compressed is asked for, and an
engine that compresses anyway is refused). Leaving a `stream` block before its end closes the
connection, which is how an engine learns that nobody waits for the rest. asyncio sets TCP_NODELAY.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import aiohttp

from gateway.answers import is_error_body
from gateway.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from gateway.settings import Limits, Timeouts

PASSED_ON = frozenset({400, 404, 409, 413, 422})
# vLLM closes idle connections after 5 s: let go first, or a request meets a closing door.
IDLE_SECONDS = 3.0
READ_BYTES = 64 * 1024
MAX_ERROR_BYTES = 64 * 1024
END_SECONDS = 0.5


@dataclass(frozen=True)
class Answer:
    """A whole answer with status 200."""

    body: bytes


class Stream:
    """A streamed answer with status 200, being read."""

    def __init__(
        self, response: aiohttp.ClientResponse, first_seconds: float, between_seconds: float
    ) -> None:
        self._response = response
        self._patience_seconds, self._between_seconds = first_seconds, between_seconds

    async def read(self) -> bytes:
        """What arrived; b"" at the end. Raises UpstreamError."""
        with _translated():
            async with asyncio.timeout(self._patience_seconds):
                data = await self._response.content.readany()
        # Engines send the head at once and the first event when they have thought.
        self._patience_seconds = self._between_seconds
        return data

    async def finish(self) -> None:
        """Read what little may follow the last event, so that the connection can be used again."""
        with suppress(Exception):
            async with asyncio.timeout(END_SECONDS):
                while await self._response.content.readany():
                    pass


class Transport:
    """Connections to all upstreams, kept open between requests."""

    def __init__(self, session: aiohttp.ClientSession, timeouts: Timeouts, limits: Limits) -> None:
        self._session, self._timeouts, self._limits = session, timeouts, limits

    @classmethod
    def open(cls, context: ssl.SSLContext, timeouts: Timeouts, limits: Limits) -> Self:
        """A transport that shows `context`'s certificate; call inside the event loop."""
        connector = aiohttp.TCPConnector(
            ssl=context,
            limit=limits.max_upstream_connections,
            keepalive_timeout=IDLE_SECONDS,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=timeouts.upstream_total_seconds,
                connect=None,
                sock_connect=timeouts.upstream_connect_seconds,
            ),
            read_bufsize=READ_BYTES,
            skip_auto_headers=("User-Agent",),
            trust_env=False,
        )
        return cls(session, timeouts, limits)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def get(self, url: str, seconds: float, max_bytes: int) -> bytes:
        """The body of a small GET (health, models); raises UpstreamError."""
        with _translated():
            async with (
                asyncio.timeout(seconds),
                self._session.get(url, headers=_headers({}), allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise UpstreamFailed(reason="failed")
                return await _whole(response, max_bytes)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The whole answer to `body`, read before anything is returned; raises UpstreamError.

        An engine that does not stream says nothing until it is done: only the total time counts.
        """
        with _translated():
            async with asyncio.timeout(self._timeouts.upstream_total_seconds):
                async with self._request(url, body, headers) as response:
                    return Answer(await _whole(response, self._limits.max_answer_bytes))

    @asynccontextmanager
    async def stream(
        self, url: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[Stream]:
        """A streamed answer; raises UpstreamError when none begins in time."""
        async with AsyncExitStack() as stack:
            with _translated():
                async with asyncio.timeout(self._timeouts.upstream_first_byte_seconds):
                    request = self._request(url, body, headers)
                    response = await stack.enter_async_context(request)
            yield Stream(
                response,
                self._timeouts.upstream_first_byte_seconds,
                self._timeouts.upstream_between_bytes_seconds,
            )

    @asynccontextmanager
    async def _request(
        self, url: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._session.post(
            url, data=body, headers=_headers(headers), allow_redirects=False
        ) as response:
            try:
                if response.status != 200:
                    raise await _refusal(response)
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise UpstreamFailed("The engine's answer is compressed.")
                yield response
            finally:
                # A connection that was not read to its end cannot be used again: closing it is
                # also how the engine learns that nobody waits.
                if not response.content.at_eof():
                    response.close()


def _headers(more: Mapping[str, str]) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        **more,
    }


async def _whole(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    parts, size = [], 0
    while part := await response.content.readany():
        size += len(part)
        if size > max_bytes:
            response.close()
            raise UpstreamFailed("The engine's answer is too large.", "too_large")
        parts.append(part)
    return b"".join(parts)


async def _refusal(response: aiohttp.ClientResponse) -> UpstreamError:
    """What a status other than 200 means to our client; the engine's text only where it is for
    clients and in OpenAI's form."""
    if response.status in (429, 503):
        return UpstreamBusy("The engine is busy. Try again.")
    if response.status in PASSED_ON:
        body = await _whole(response, MAX_ERROR_BYTES)
        if is_error_body(body):
            return UpstreamRefused(response.status, body)
    return UpstreamFailed(reason="failed")


@contextmanager
def _translated() -> Iterator[None]:
    """Raise UpstreamErrors for what aiohttp and asyncio.timeout raise inside; cause kept."""
    try:
        yield
    except TimeoutError as error:
        raise UpstreamTimeout("The engine took too long to answer.") from error
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectionResetError) as error:
        raise UpstreamFailed("The engine cannot be reached.", "connect") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamFailed("The engine broke off.") from error
