"""One run over the keys that are due: batch by batch, each a transaction with its events.

A key is settled, the log told of it and the notice in the outbox, or nothing of it; a run that dies
has done whole batches. Keys
that somebody else is looking at are passed over, so that several nodes may run at once.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemons.key_decay.decide import Notice, decide
from daemons.key_decay.message import message
from daemons.key_decay.outbox import ACTOR, Sent
from ledger import key_strength, roles
from ledger import notices as outbox
from ledger.append import send
from ledger.connect import Connection
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.translate import translated
from trust.strength import Misuse

LOG = logging.getLogger(__name__)
MISUSED = "key_decay_misused"


@dataclass
class Result:
    """What a run came to. `seconds` is how long settling took; times are Unix time. `misused`: keys
    with misuse of each kind in the last 24 hours; `reviews`: proposals of rights that wait.
    """

    looked_at: int = 0
    notices: list[Notice] = field(default_factory=list)
    ended: float = 0.0
    seconds: float = 0.0
    sent: Sent = field(default_factory=Sent)
    misused: Mapping[Misuse, int] = field(default_factory=dict)
    reviews: roles.Waiting = field(default_factory=roles.Waiting)


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


async def settle_due(
    connection: Connection,
    node: str,
    batch: int,
    clock: Callable[[], datetime] = utc_now,
    *,
    tell: bool = False,
) -> Result:
    """Settle every key that is due; raises LedgerError, with whole batches done.

    With `tell`, notices wait in the outbox for the webhook.
    """
    began, result = clock(), Result()
    while True:
        found = await _turn(connection, node, batch, began, result, tell=tell)
        if found < batch:
            break
    result.misused = await key_strength.misused_lately(connection, began)
    result.reviews = await roles.waiting(connection)
    ended = clock()
    result.ended, result.seconds = ended.timestamp(), (ended - began).total_seconds()
    return result


async def _turn(
    connection: Connection, node: str, batch: int, now: datetime, result: Result, *, tell: bool
) -> int:
    with translated(writing=True):
        async with connection.transaction():
            found = await key_strength.due(connection, now, batch)
            if not found:
                return 0
            decisions = [decide(history, now) for history in found]
            await key_strength.save(connection, [each.settled for each in decisions], now)
            notices = [notice for each in decisions for notice in each.notices]
            events = [_event(node, notice, now) for notice in notices]
            if events:
                await send(connection, [event.canonical() for event in events])
            if events and tell:
                told = zip(events, notices, strict=True)
                await outbox.put(connection, [message(e, n.key_id, n.text) for e, n in told])
    result.looked_at += len(found)
    result.notices += notices
    for notice in notices:
        LOG.info("%s", notice.text)
    return len(found)


def _event(node: str, notice: Notice, now: datetime) -> Event:
    return Event(
        id=new_id(),
        time=now,
        node=node,
        actor=ACTOR,
        kind=notice.kind,
        subject=f"key:{notice.key_id}",
        data={"tenant": notice.tenant, **notice.data},
    )


def exposition(result: Result) -> str:
    """The text file node_exporter serves."""
    figures = result.sent.figures
    values = (
        ("key_decay_last_success_seconds", "When the last whole run ended, in Unix time.",
         result.ended),
        ("key_decay_duration_seconds", "How long it took to settle keys.", result.seconds),
        ("key_decay_looked_at", "Keys it looked at.", result.looked_at),
        ("key_decay_notices", "Events it left in the log.", len(result.notices)),
        ("key_notices_delivered", "Notices the webhook took in this run.", result.sent.delivered),
        ("key_notices_failed_attempts", "Attempts that failed in it.", result.sent.failed),
        ("key_notices_pending", "Notices that wait, on any node.", figures.pending),
        ("key_notices_oldest_seconds", "How long the oldest has waited.", figures.oldest_seconds),
        ("key_notices_given_up", "Notices given up within a day.", figures.given_up),
        ("role_proposals_waiting", "Proposals of rights that wait for a decision.",
         result.reviews.proposals),
        ("role_proposals_oldest_seconds", "How long the oldest of them has waited.",
         result.reviews.oldest_seconds),
    )  # fmt: skip
    plain = "".join(
        f"{_head(name, text)}federation_{name} {value:.17g}\n" for name, text, value in values
    )
    misused = "".join(
        f'federation_{MISUSED}{{kind="{kind.name.lower()}"}} {result.misused.get(kind, 0)}\n'
        for kind in Misuse
    )
    return plain + _head(MISUSED, "Keys with misuse in the last 24 hours, by kind.") + misused


def _head(name: str, text: str) -> str:
    return f"# HELP federation_{name} {text}\n# TYPE federation_{name} gauge\n"
