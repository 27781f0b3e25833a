"""One run over the keys that are due: batch by batch, each a transaction with its events.

A key is settled and the log told of it, or neither; a run that dies has done whole batches. Keys
that somebody else is looking at are passed over, so that several nodes may run at once.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemons.key_decay.decide import Notice, decide
from ledger import key_strength
from ledger.append import send
from ledger.connect import Connection
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.translate import translated
from trust.strength import Misuse

LOG = logging.getLogger(__name__)
ACTOR = "federation-key-decay"
PREFIX = "federation_key_decay_"


@dataclass
class Result:
    """What a run came to. `seconds` is how long it took; times are Unix time. `misused`: keys with
    misuse of each kind in the last 24 hours.
    """

    looked_at: int = 0
    notices: list[Notice] = field(default_factory=list)
    ended: float = 0.0
    seconds: float = 0.0
    untold: int = 0
    misused: Mapping[Misuse, int] = field(default_factory=dict)


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


async def settle_due(
    connection: Connection, node: str, batch: int, clock: Callable[[], datetime] = utc_now
) -> Result:
    """Settle every key that is due; raises LedgerError, with whole batches done."""
    began, result = clock(), Result()
    while True:
        found = await _turn(connection, node, batch, began, result)
        if found < batch:
            break
    result.misused = await key_strength.misused_lately(connection, began)
    ended = clock()
    result.ended, result.seconds = ended.timestamp(), (ended - began).total_seconds()
    return result


async def _turn(
    connection: Connection, node: str, batch: int, now: datetime, result: Result
) -> int:
    with translated(writing=True):
        async with connection.transaction():
            found = await key_strength.due(connection, now, batch)
            if not found:
                return 0
            decisions = [decide(history, now) for history in found]
            await key_strength.save(connection, [each.settled for each in decisions], now)
            notices = [notice for each in decisions for notice in each.notices]
            if notices:
                await send(connection, [_event(node, notice, now) for notice in notices])
    result.looked_at += len(found)
    result.notices += notices
    for notice in notices:
        LOG.info("%s", notice.text)
    return len(found)


def _event(node: str, notice: Notice, now: datetime) -> bytes:
    event = Event(
        id=new_id(),
        time=now,
        node=node,
        actor=ACTOR,
        kind=notice.kind,
        subject=f"key:{notice.key_id}",
        data={"tenant": notice.tenant, **notice.data},
    )
    return event.canonical()


def exposition(result: Result) -> str:
    """The text file node_exporter serves."""
    by_kind: dict[str, int] = {}
    for notice in result.notices:
        by_kind[notice.kind] = by_kind.get(notice.kind, 0) + 1
    values = (
        ("last_success_seconds", "When the last whole run ended, in Unix time.", result.ended),
        ("duration_seconds", "How long it took.", result.seconds),
        ("looked_at", "Keys it looked at.", result.looked_at),
        ("notices", "Events it left in the log.", len(result.notices)),
        ("untold", "Of these, how many the webhook did not take.", result.untold),
    )
    plain = "".join(
        f"{_head(name, text)}{PREFIX}{name} {value:.17g}\n" for name, text, value in values
    )
    misused = "".join(
        f'{PREFIX}misused{{kind="{kind.name.lower()}"}} {result.misused.get(kind, 0)}\n'
        for kind in Misuse
    )
    return plain + _head("misused", "Keys with misuse in the last 24 hours, by kind.") + misused


def _head(name: str, text: str) -> str:
    return f"# HELP {PREFIX}{name} {text}\n# TYPE {PREFIX}{name} gauge\n"
