"""Prompts and answers of tenants that chose to have them stored: sealed here, opened elsewhere.

The gateway has a public key of the tenant's custody and nothing that opens what it sealed
(`trust.sealing`). A request's body and answer are gathered in memory while they pass, sealed at its
end, and written to the spool's folder before its `request.finished`, which refers to them. In plain
text they are nowhere but in this process's memory.

What cannot be kept is not: the request is served all the same, its `request.finished` says
`not_kept` and why, and a metric counts it.

    no_key     custody has no key for this tenant's prompts, or the authority does not vouch for it
    too_large  body and answer together are more than `prompts.max_kib`
    no_room    what waits for the ledger has reached `prompts.max_mib`
    disk       the disk did not take it
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from gateway.metrics import GatewayMetrics
from gateway.seams import Principal
from gateway.spool import sealed
from gateway.spool.record import content_id
from ledger.content import sealed_to
from trust.errors import SealingKeyRefused
from trust.primitives import pack
from trust.sealing import SealingKey, sealing_key

logger = logging.getLogger("gateway.prompts")

CLASS = "prompts"
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
RECOUNT_SECONDS = 10.0

Reference = Mapping[str, str]


class PromptStore:
    """Seals for every tenant that wants it. `max_object_bytes` bounds one, `max_bytes` all that
    wait for the ledger."""

    def __init__(
        self,
        spool: Path,
        authority_pem: bytes,
        metrics: GatewayMetrics,
        *,
        max_object_bytes: int,
        max_bytes: int,
    ) -> None:
        self._spool, self._metrics = spool, metrics
        self._max_object, self._max = max_object_bytes, max_bytes
        self._held = sealed.size(spool)
        # A signature is checked once for each key, not for each request.
        self._key_of = lru_cache(maxsize=1024)(
            lambda blob, tenant: _believed(blob, f"{tenant}/{CLASS}", authority_pem)
        )
        metrics.prompts_waiting.set(self._held)

    def begin(self, principal: Principal, request: str, body: bytes) -> "Keeping":
        """Gather a request of a principal whose tenant has prompts stored."""
        to = self._key_of(principal.prompts or b"", principal.tenant)
        return Keeping(self, request, to, body, self._max_object)

    async def keep(self, request: str, to: SealingKey | None, plain: bytes | None) -> Reference:
        """Seal and write; what the request's end says of it. Raises nothing."""
        if to is None or plain is None:
            return self._not_kept("no_key" if to is None else "too_large")
        size = sealed.cost(len(plain))
        if self._held + size > self._max:
            return self._not_kept("no_room")
        self._held += size
        try:
            found = await asyncio.to_thread(self._write, request, to, plain)
        except OSError as error:
            self._held -= size
            logger.warning("prompt not kept", extra={"why": type(error).__name__})
            return self._not_kept("disk")
        self._metrics.prompts["kept"].inc()
        self._metrics.prompts_waiting.set(self._held)
        return found

    async def keep_counting(self) -> None:
        """Look again and again how much the shipper has left, until cancelled."""
        while True:
            await asyncio.sleep(RECOUNT_SECONDS)
            began, before = time.monotonic(), self._held
            found = await asyncio.to_thread(sealed.size, self._spool)
            # What was written meanwhile may or may not be in it: rather count it twice.
            self._held = found + max(0, self._held - before)
            self._metrics.prompts_waiting.set(self._held)
            await asyncio.sleep(time.monotonic() - began)

    def _write(self, request: str, to: SealingKey, plain: bytes) -> Reference:
        item = sealed_to(content_id(request), plain, to)
        sealed.write(self._spool, item)
        return {key: str(value) for key, value in item.reference().items()}

    def _not_kept(self, why: str) -> Reference:
        self._metrics.prompts[why].inc()
        return {"not_kept": why}


class Keeping:
    """One request's body and answer while they pass; `store` may be asked for more than once."""

    __slots__ = ("_left", "_parts", "_request", "_store", "_task", "_to")

    def __init__(
        self, store: PromptStore, request: str, to: SealingKey | None, body: bytes, most: int
    ) -> None:
        self._store, self._request, self._to = store, request, to
        self._left = most - len(body)
        self._parts: list[bytes] = [body] if to is not None and self._left >= 0 else []
        self._task: asyncio.Task[Reference] | None = None

    def answer(self, part: bytes) -> None:
        """The client is sent this."""
        self._left -= len(part)
        if self._left >= 0 and self._parts:
            self._parts.append(part)
        else:
            self._parts.clear()

    async def store(self) -> Reference:
        """Seal what passed and make it durable; a caller that is cancelled interrupts nothing."""
        if self._task is None:
            plain = pack(self._parts[0], b"".join(self._parts[1:])) if self._parts else None
            self._parts.clear()
            self._task = asyncio.create_task(self._store.keep(self._request, self._to, plain))
        return await asyncio.shield(self._task)


def _believed(blob: bytes, name: str, authority_pem: bytes) -> SealingKey | None:
    if not blob:
        logger.error("no key to seal prompts to", extra={"key": name})
        return None
    try:
        return sealing_key(blob, name, authority_pem)
    except SealingKeyRefused as error:
        logger.error("sealing key refused", extra={"key": name, "why": str(error)})
        return None
