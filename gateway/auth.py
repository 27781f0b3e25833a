"""Who is asking: the key in the header against the keyring, at every request.

Whatever is wrong with a key (no such id, another secret, expired, revoked), the answer is one and
the same and takes the same work: a digest under each pepper, two comparisons, and a question to the
ledger unless this id was tried a moment ago. An answer that had to ask waits for the next beat of a
clock, so that what the ledger needs for a row that is there cannot be told from what it needs for
none. A failure counts against the source (see `sources`), never against the key whose id was shown.
A key that was proved once is recognised by its whole header.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address

from gateway.errors import LedgerAway, NotAuthenticated, Refused, TooManyFailures
from gateway.keyring import Keyring
from gateway.lookups import Finding
from gateway.metrics import GatewayMetrics
from gateway.request import MAX_AUTHORIZATION_BYTES, bearer
from gateway.seams import Principal
from gateway.sources import Sources
from ledger.keys import Verifier
from trust import apikeys
from trust.apikeys import ApiKey
from trust.errors import InvalidApiKey
from trust.peppers import Peppers

logger = logging.getLogger("gateway.auth")

NO_DIGEST, NO_SECRET = bytes(32), bytes([255]) * 32
# Refusals for which the ledger was asked leave at multiples of this after their request came. It is
# far above what a question takes, and nothing that anybody with a working key waits for.
BEAT_SECONDS = 0.025


class KeyringGate:
    """Turns a request's `Authorization` into whom the key speaks for, or refuses (seams.Gate)."""

    def __init__(
        self,
        keyring: Keyring,
        peppers: Peppers,
        metrics: GatewayMetrics,
        clock: Callable[[], datetime],
        wall: Callable[[], float] = time.time,
        sources: Sources | None = None,
    ) -> None:
        self._keyring, self._peppers = keyring, peppers.all
        self._sources = sources
        self._metrics, self._clock, self._wall = metrics, clock, wall

    def recognised(self, authorization: bytes | None) -> Principal | None:
        """See seams.Gate."""
        if authorization is None or len(authorization) > MAX_AUTHORIZATION_BYTES:
            return None
        return self._keyring.recognise(authorization, self._wall())

    async def authenticate(self, authorization: bytes | None, client: str | None) -> Principal:
        """See seams.Gate."""
        known = self.recognised(authorization)
        if known is not None:
            return known
        try:
            text = bearer(authorization)
        except NotAuthenticated:
            raise self._refusal("missing", client) from None
        try:
            key = apikeys.parse(text)
        except InvalidApiKey:
            raise self._refusal("malformed", client) from None
        finding, wrong = await self._judged(key)
        if finding.entry is None or wrong is not None:
            raise self._refusal(wrong or "unknown", client, key.id)
        if authorization is not None:
            self._keyring.prove(authorization, finding)
        return finding.entry.member

    async def _judged(self, key: ApiKey) -> tuple[Finding, str | None]:
        """What the key is, and what is wrong with it (None: nothing); raises LedgerAway.

        Every wrong key takes the same steps, whatever is wrong with it; see the module.
        """
        began = asyncio.get_running_loop().time()
        shown = {each.version: apikeys.digest(key.secret, each) for each in self._peppers}
        held = self._keyring.held(key.id, self._wall())
        away: LedgerAway | None = None
        try:
            if self._proves(shown, None if held is None else held.verifier) and held is not None:
                finding = await self._keyring.renewed(held)
            else:
                finding = await self._keyring.look(key.id)
        except LedgerAway as error:
            logger.warning("key lookup failed", extra={"why": type(error.__cause__).__name__})
            away = error
        if away is not None:
            await _on_the_beat(began)
            raise away
        wrong = self._wrong(shown, None if finding.entry is None else finding.entry.verifier)
        if wrong is not None:
            self._keyring.refused(key.id, finding)
            if finding.asked:
                await _on_the_beat(began)
        return finding, wrong

    def _proves(self, shown: Mapping[int, bytes], verifier: Verifier | None) -> bool:
        """Whether the digest under the key's own pepper is the one that is stored."""
        version = 0 if verifier is None else verifier.pepper_version
        stored = NO_DIGEST if verifier is None else verifier.digest
        same = hmac.compare_digest(shown.get(version, NO_SECRET), stored)
        return same and verifier is not None and version in shown

    def _wrong(self, shown: Mapping[int, bytes], verifier: Verifier | None) -> str | None:
        proved = self._proves(shown, verifier)
        if verifier is None:
            return "unknown"
        if not proved:
            if verifier.pepper_version not in shown:
                version = verifier.pepper_version
                logger.warning("key under a pepper that is not here", extra={"pepper": version})
            return "wrong_secret"
        state = verifier.state(self._clock())
        return None if state == "active" else state

    def _refusal(self, reason: str, client: str | None, key_id: str | None = None) -> Refused:
        source = source_class(client)
        self._metrics.auth_failures.labels(reason, source).inc()
        if reason != "missing" and self._sources is not None:
            seconds = self._sources.failed(client, time.monotonic())
            self._metrics.sources.set(len(self._sources))
            if seconds:
                self._metrics.source_backoffs[source].inc()
                return TooManyFailures(seconds)
        logger.info("key refused", extra={"reason": reason, "source": source, "key_id": key_id})
        return NotAuthenticated()


async def _on_the_beat(began: float) -> None:
    """Wait until the next whole beat since `began`, of the loop's clock."""
    passed = asyncio.get_running_loop().time() - began
    await asyncio.sleep(BEAT_SECONDS - passed % BEAT_SECONDS)


def source_class(client: str | None) -> str:
    """loopback, private or public: what kind of address a client has."""
    try:
        address = ip_address(client or "")
    except ValueError:
        return "public"
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private else "public"
