"""What a webhook is told, as bytes, and when it is told again. Pure.

The body follows Standard Webhooks: `type`, `timestamp`, `data`. It names keys by id and by the name
people gave them; no secret and no digest is known here.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from ledger import notices
from ledger.event import Event

TEST = "webhook.test"
NO_KEY = "-"
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=6)
GIVE_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=30)


def message(event: Event, key_id: str, text: str) -> notices.Notice:
    """The message for an event of a key; `text` is for people."""
    told = {**event.data, "key": key_id, "text": text}
    return notices.Notice(
        event.id, key_id, event.kind, _body(event.kind, event.time, event.node, told)
    )


def trial_message(message_id: UUID, now: datetime, node: str, actor: str) -> notices.Notice:
    """A message that says nothing but that messages arrive."""
    told = {"text": f"a test notice, asked for by {actor}"}
    return notices.Notice(message_id, NO_KEY, TEST, _body(TEST, now, node, told))


def pause_after(attempts: int, chance: float) -> timedelta:
    """How long to wait after that many attempts: twice as long each time, up to six hours.

    `chance`, from 0 to 1, takes up to half of it away, so that what failed together is not tried
    again together.
    """
    doublings: int = min(max(attempts, 1) - 1, 20)
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))
    return longest * (1 - chance / 2)


def _body(kind: str, moment: datetime, node: str, told: dict[str, Any]) -> bytes:
    value = {
        "type": kind,
        "timestamp": moment.isoformat(),
        "data": {**told, "source": f"federation-key-decay@{node}"},
    }
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
