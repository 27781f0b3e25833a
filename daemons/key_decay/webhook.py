"""Post one signed message (`trust.webhooks`) to where the operator pointed, and nowhere else.

The name is at the address of the settings, whatever DNS says; redirects are not followed: they
could lead into the private network. No proxy, no cookie, a bounded time and a bounded answer.
"""

import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from daemons.addresses import Addresses
from ledger.notices import Notice
from trust.hidden import Hidden
from trust.webhooks import headers

MAX_ANSWER_BYTES = 1024
HEADERS = {"Content-Type": "application/json", "User-Agent": "federation-key-decay"}


class Endpoint:
    """Where messages go, and the secrets they are signed with. A post takes `seconds` at most."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        secrets: Sequence[Hidden],
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.seconds = seconds
        self._session, self._url, self._secrets, self._clock = session, url, secrets, clock

    async def post(self, notice: Notice) -> str:
        """Nothing when it was taken (any 2xx), else why not. Raises nothing of the network's."""
        signed = headers(self._secrets, str(notice.id), int(self._clock()), notice.body)
        try:
            async with self._session.post(
                self._url, data=notice.body, headers={**HEADERS, **signed}, allow_redirects=False
            ) as answer:
                await answer.content.read(MAX_ANSWER_BYTES)
                return "" if 200 <= answer.status < 300 else f"status {answer.status}"
        except TimeoutError:
            return f"no answer within {self.seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__


@asynccontextmanager
async def endpoint(
    url: str, secrets: Sequence[Hidden], *, seconds: float, address: str | None = None
) -> AsyncIterator[Endpoint]:
    """An endpoint for as long as the block lasts; `address` is where the URL's host is."""
    host = urlsplit(url).hostname or ""
    resolver = None if address is None else Addresses({host: address})
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(), resolver=resolver)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=seconds),
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        yield Endpoint(session, url, secrets, seconds)
