"""Tell people by webhook: JSON by POST, a few attempts, then it is left to the log and the journal.

What is sent names keys by id and the name they were given; no secret and no digest is known here.
Redirects are not followed: they could lead out of where the operator pointed.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp

from daemons.key_decay.decide import Notice
from daemons.sequencer.main import Addresses

LOG = logging.getLogger(__name__)
AT_ONCE = 100
FIRST_PAUSE_SECONDS = 0.5


async def tell(
    url: str,
    node: str,
    notices: Sequence[Notice],
    *,
    attempts: int,
    seconds: float,
    address: str | None = None,
) -> int:
    """Send the notices, at most 100 a request; how many nobody took. Raises nothing."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    untold = 0
    host = urlsplit(url).hostname or ""
    resolver = None if address is None else Addresses({host: address})
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(), resolver=resolver)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        for start in range(0, len(notices), AT_ONCE):
            batch = notices[start : start + AT_ONCE]
            if untold or not await _insist(session, url, _body(node, batch), attempts):
                # Whoever does not answer is not asked again for each batch.
                untold += len(batch)
    return untold


async def _insist(
    session: aiohttp.ClientSession, url: str, body: dict[str, object], attempts: int
) -> bool:
    why = ""
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            async with session.post(url, json=body, allow_redirects=False) as answer:
                if 200 <= answer.status < 300:
                    return True
                why = f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = type(error).__name__
    LOG.warning("the webhook took nothing after %d attempts: %s", attempts, why)
    return False


def _body(node: str, batch: Sequence[Notice]) -> dict[str, object]:
    return {
        "source": f"federation-key-decay@{node}",
        "notices": [
            {
                "kind": notice.kind,
                "key": notice.key_id,
                "tenant": notice.tenant,
                "text": notice.text,
                **notice.data,
            }
            for notice in batch
        ],
    }
