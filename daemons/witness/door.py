"""Who may show this witness a checkpoint: those whose requests are signed with a key it knows.

Asked before anything is judged. A witness without keys takes anybody's, as C2SP tlog-witness has
it: what a checkpoint is worth, the log's own signature says. With keys, a request is refused (401)
that is not signed (RFC 9421, `trust.callers`), or by another key, for another host, altered, of
another minute, or that was taken before. What it says of a refusal goes to the journal as JSON.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from daemons.witness.decide import STATUS, Kind
from daemons.witness.metrics import WitnessMetrics
from daemons.witness.nonces import TooMany, UsedNonces
from daemons.witness.settings import WitnessSettings
from inventory.config import resolve
from trust.callers import Callers
from trust.errors import SignatureRefused

LOG = logging.getLogger(__name__)
TEXT = "text/plain"
Answer = tuple[int, bytes, str]


@dataclass(frozen=True)
class Shown:
    """A request as it came: `caller` by its certificate, `target` and `fields` as sent."""

    caller: str
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes


class Door:
    """The keys that count, the nonces that were used, and the one lock between look and write."""

    def __init__(
        self,
        callers: Callers,
        used: UsedNonces,
        metrics: WitnessMetrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._callers, self._used, self._metrics, self._clock = callers, used, metrics, clock
        self._one_at_a_time = asyncio.Lock()
        metrics.callers(len(callers.keys))

    @property
    def names(self) -> list[str]:
        """Whose signatures it asks for; none: it takes anybody's requests."""
        return sorted(self._callers.keys)

    async def refusal(self, shown: Shown) -> Answer | None:
        """The answer to a request that is not to be judged; None for one that is."""
        if not self._callers.keys:
            return None
        now = self._clock()
        try:
            signed = self._callers.verified(
                shown.caller, shown.method, shown.target, shown.fields, shown.body, now
            )
        except SignatureRefused as error:
            return self._refused(Kind.UNSIGNED, shown.caller, str(error))
        if signed is None:
            return self._refused(Kind.UNKNOWN_CALLER, shown.caller, "I know no key of this caller")
        try:
            async with self._one_at_a_time:
                new = await asyncio.to_thread(self._used.take, signed, now)
        except (OSError, TooMany) as error:
            self._metrics.failed()
            LOG.error("not judged, its nonce cannot be kept: %s", error)
            return 503, b"the nonce cannot be kept\n", TEXT
        if new:
            return None
        why = "this request was sent before; sign each one anew"
        return self._refused(Kind.REPLAYED, shown.caller, why)

    def _refused(self, kind: Kind, caller: str, why: str) -> Answer:
        self._metrics.judged(kind)
        told = {"refused": kind.value, "caller": caller, "reason": why}
        LOG.warning("%s", json.dumps(told, ensure_ascii=True))
        text = f"{kind.value}: requests are taken signed by a sequencer of my settings: {why}\n"
        return STATUS[kind], text.encode(), TEXT


def door_of(
    settings: WitnessSettings,
    environment: Mapping[str, str],
    metrics: WitnessMetrics,
    clock: Callable[[], datetime],
) -> Door:
    """The door of these settings; raises ConfigError, StateInvalid or OSError."""
    hosts = [*map(str, settings.addresses), *settings.hosts]
    callers = Callers.of(settings.known_callers(environment), hosts)
    return Door(callers, UsedNonces(resolve(settings.state_path, environment)), metrics, clock)
