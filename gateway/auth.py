"""Who is asking, and what they may: the key in the header against the ledger, at every request.

Nothing is cached: a key that is revoked does not work for the next request. Whatever is wrong with
a key, the answer is one and the same, and takes the same work: an unknown id costs a digest too.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from typing import Protocol

from gateway.errors import LedgerAway, NotAuthenticated
from gateway.metrics import GatewayMetrics
from gateway.request import bearer
from gateway.seams import DEFAULT_TENANT, Principal
from ledger.errors import LedgerError
from ledger.keys import Verifier
from trust import apikeys
from trust.apikeys import ApiKey, Pepper
from trust.errors import InvalidApiKey

logger = logging.getLogger("gateway.auth")

NO_DIGEST = bytes(32)


class KeyBook(Protocol):
    """Where keys are looked up; raises LedgerError when it cannot be asked."""

    async def find(self, key_id: str) -> Verifier | None:
        """What recognises the key with this id, or None."""
        ...


class LedgerGate:
    """Turns a request's `Authorization` into whom the key speaks for, or refuses (seams.Gate)."""

    def __init__(
        self,
        keys: KeyBook,
        pepper: Pepper,
        metrics: GatewayMetrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._keys, self._pepper = keys, pepper
        self._metrics, self._clock = metrics, clock

    async def authenticate(self, authorization: bytes | None, client: str | None) -> Principal:
        """See seams.Gate."""
        try:
            text = bearer(authorization)
        except NotAuthenticated:
            raise self._refusal("missing", client) from None
        try:
            key = apikeys.parse(text)
        except InvalidApiKey:
            raise self._refusal("malformed", client) from None
        try:
            verifier = await self._keys.find(key.id)
        except LedgerError as error:
            logger.warning("key lookup failed", extra={"reason": type(error).__name__})
            raise LedgerAway from error
        wrong = self._wrong(key, verifier)
        if verifier is None or wrong:
            raise self._refusal(wrong or "unknown", client, key.id)
        return Principal(verifier.id, DEFAULT_TENANT, verifier.scopes, verifier.models)

    def _wrong(self, key: ApiKey, verifier: Verifier | None) -> str | None:
        stored = NO_DIGEST if verifier is None else verifier.digest
        proved = apikeys.matches(key, stored, self._pepper)
        if verifier is None:
            return "unknown"
        if not proved or verifier.pepper_version != self._pepper.version:
            return "wrong_secret"
        state = verifier.state(self._clock())
        return None if state == "active" else state

    def _refusal(
        self, reason: str, client: str | None, key_id: str | None = None
    ) -> NotAuthenticated:
        source = source_class(client)
        self._metrics.auth_failures.labels(reason, source).inc()
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
