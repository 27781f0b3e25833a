"""The event: what is written down about every change, and the bytes it is kept as. Pure.

An event is `{id, time, node, actor, kind, subject, data, trace_id}`; its bytes are its RFC 8785
canonical JSON, so that equal events have equal digests wherever they are made. Whatever could be
read in two ways (NaN, big integers, lone surrogates, NUL, times without a zone) is refused here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import rfc8785

from ledger.errors import EventInvalid

MAX_BYTES = 256 * 1024
MAX_TEXT = 200
MAX_DEPTH = 32
FIELDS = frozenset({"id", "time", "node", "actor", "kind", "subject", "data", "trace_id"})
_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Event:
    """One change. `kind` is dotted lower case ("deploy.applied"), `subject` what it was done to,
    `actor` who did it, `node` where; `trace_id` is W3C's (32 hexadecimal digits) or None.

    `data` is JSON: objects, arrays, strings, finite numbers (integers within 2^53), booleans, null.
    It must hold no secret and no personal content.
    """

    id: UUID
    time: datetime
    node: str
    actor: str
    kind: str
    subject: str
    data: Mapping[str, Any]
    trace_id: str | None = None

    def canonical(self) -> bytes:
        """The event's bytes; raises EventInvalid naming the field that is wrong."""
        _check(self)
        try:
            body = rfc8785.dumps(
                {
                    "id": str(self.id),
                    "time": self.time.astimezone(UTC).strftime(_TIME),
                    "node": self.node,
                    "actor": self.actor,
                    "kind": self.kind,
                    "subject": self.subject,
                    "data": _plain(self.data),
                    "trace_id": self.trace_id,
                }
            )
        except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
            raise EventInvalid(f"data: {error}") from error
        if len(body) > MAX_BYTES:
            raise EventInvalid(f"the event has {len(body)} bytes, at most {MAX_BYTES}")
        return body

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """The event in canonical bytes; EventInvalid when they are not exactly its bytes."""
        if len(body) > MAX_BYTES:
            raise EventInvalid(f"the event has {len(body)} bytes, at most {MAX_BYTES}")
        try:
            found = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise EventInvalid(f"not JSON: {error}") from error
        if not isinstance(found, dict) or set(found) != FIELDS:
            raise EventInvalid(f"not an object of exactly {', '.join(sorted(FIELDS))}")
        try:
            fields: dict[str, Any] = {
                **found,
                "id": UUID(found["id"]),
                "time": datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC),
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise EventInvalid(f"id or time: {error}") from error
        event = cls(**fields)
        if event.canonical() != body:
            raise EventInvalid("the bytes are not canonical")
        return event


def _check(event: Event) -> None:
    if not isinstance(event.id, UUID) or event.id.version != 7:
        raise EventInvalid(f"id: {event.id} is no UUID version 7")
    if event.time.tzinfo is None:
        raise EventInvalid("time: has no time zone")
    if not 2000 <= event.time.astimezone(UTC).year <= 9999:
        raise EventInvalid(f"time: the year {event.time.year} is out of range")
    for name in ("node", "actor", "subject"):
        _check_text(name, getattr(event, name))
    if not isinstance(event.kind, str) or not _KIND.fullmatch(event.kind):
        raise EventInvalid(f"kind: {event.kind!r:.80} is not like deploy.applied")
    if len(event.kind) > MAX_TEXT:
        raise EventInvalid(f"kind: longer than {MAX_TEXT} characters")
    trace = event.trace_id
    if trace is not None and (not isinstance(trace, str) or not _TRACE.fullmatch(trace)):
        raise EventInvalid("trace_id: not 32 hexadecimal digits (W3C trace context)")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise EventInvalid(f"{name}: {value!r:.80} is not 1 to {MAX_TEXT} printable characters")


def _plain(data: object) -> dict[str, Any]:
    """`data` with every mapping a dict and every sequence a list, checked to the last leaf."""
    if not isinstance(data, Mapping):
        raise EventInvalid(f"data: {type(data).__name__} is not an object")
    copied = _copy(data, "data", 0)
    assert isinstance(copied, dict)  # noqa: S101 - a mapping is copied to a dict
    return copied


def _copy(value: object, place: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise EventInvalid(f"{place[:120]}: nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise EventInvalid(f"{place[:120]}: the key {key!r:.40} is no string")
            _storable(key, place)
        return {key: _copy(item, f"{place}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item, f"{place}[{n}]", depth + 1) for n, item in enumerate(value)]
    if isinstance(value, str):
        _storable(value, place)
        return value
    if isinstance(value, float) and value.is_integer() and 2**53 <= abs(value) < 1e21:
        # RFC 8785 writes these without point or exponent: they would be read back as integers.
        raise EventInvalid(f"{place[:120]}: {value:.0f} is beyond 2^53, write it as text")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise EventInvalid(f"{place[:120]}: {type(value).__name__} is not JSON")


def _storable(text: str, place: str) -> None:
    """NUL is JSON but no PostgreSQL text; a lone surrogate is neither UTF-8 nor I-JSON."""
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise EventInvalid(f"{place[:120]}: holds NUL or a lone surrogate")
