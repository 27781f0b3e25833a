"""Who is asking: the key in the header against the keyring, at every request.

Whatever is wrong with a key, the answer is one and the same, and takes the same work: an unknown id
costs a digest too. It counts against the source (see `sources`), never against the key whose id was
shown. A key that was proved once is recognised by its whole header.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address

from gateway.errors import LedgerAway, NotAuthenticated, Refused, TooManyFailures
from gateway.keyring import Keyring
from gateway.metrics import GatewayMetrics
from gateway.request import MAX_AUTHORIZATION_BYTES, bearer
from gateway.seams import Principal
from gateway.sources import Sources
from ledger.keys import Verifier
from trust import apikeys
from trust.apikeys import ApiKey, Pepper
from trust.errors import InvalidApiKey

logger = logging.getLogger("gateway.auth")

NO_DIGEST = bytes(32)


class KeyringGate:
    """Turns a request's `Authorization` into whom the key speaks for, or refuses (seams.Gate)."""

    def __init__(
        self,
        keyring: Keyring,
        pepper: Pepper,
        metrics: GatewayMetrics,
        clock: Callable[[], datetime],
        wall: Callable[[], float] = time.time,
        sources: Sources | None = None,
    ) -> None:
        self._keyring, self._pepper = keyring, pepper
        self._sources = sources
        self._metrics, self._clock, self._wall = metrics, clock, wall

    async def authenticate(self, authorization: bytes | None, client: str | None) -> Principal:
        """See seams.Gate."""
        if authorization is not None and len(authorization) <= MAX_AUTHORIZATION_BYTES:
            member = self._keyring.recognise(authorization, self._wall())
            if member is not None:
                return member
        try:
            text = bearer(authorization)
        except NotAuthenticated:
            raise self._refusal("missing", client) from None
        try:
            key = apikeys.parse(text)
        except InvalidApiKey:
            raise self._refusal("malformed", client) from None
        try:
            entry = await self._keyring.find(key.id)
        except LedgerAway as away:
            logger.warning("key lookup failed", extra={"why": type(away.__cause__).__name__})
            raise
        verifier = None if entry is None else entry.verifier
        wrong = self._wrong(key, verifier)
        if entry is None or wrong:
            raise self._refusal(wrong or "unknown", client, key.id)
        if authorization is not None:
            self._keyring.prove(authorization, entry)
        return entry.member

    def _wrong(self, key: ApiKey, verifier: Verifier | None) -> str | None:
        stored = NO_DIGEST if verifier is None else verifier.digest
        proved = apikeys.matches(key, stored, self._pepper)
        if verifier is None:
            return "unknown"
        if not proved or verifier.pepper_version != self._pepper.version:
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


def source_class(client: str | None) -> str:
    """loopback, private or public: what kind of address a client has."""
    try:
        address = ip_address(client or "")
    except ValueError:
        return "public"
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private else "public"
