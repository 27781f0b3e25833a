"""Turn psycopg's errors into ours, at the one edge where both are known.

The rule that matters: an error that arrives after a write was sent, without the server's verdict,
is OutcomeUnknown and never "failed". A cancelled wait for a commit counts as that too: the commit
may be visible already.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ledger.errors import (
    Conflict,
    Forbidden,
    LedgerError,
    OutcomeUnknown,
    Rejected,
    Superseded,
    Unavailable,
)

_CANCELED = "57014"
# The server's word that it did nothing: it is starting, full, out of memory, locks or disk, or it
# ended us to break a circle of waiting.
_REFUSALS = ("57P03", "53", "55P03", "40P01")
_LOST = ("08", "57P", "58", "XX")


@contextmanager
def translated(*, writing: bool) -> Iterator[None]:
    """Raise LedgerErrors for what psycopg raises inside; `writing` says a change is being sent."""
    try:
        yield
    except psycopg.Error as error:
        raise _ours(error, writing=writing) from error


def _ours(error: psycopg.Error, *, writing: bool) -> LedgerError:
    state = error.sqlstate or ""
    text = _text(error)
    if isinstance(error, psycopg.errors.UniqueViolation):
        return Conflict(text)
    if isinstance(error, psycopg.errors.SerializationFailure):
        return Superseded(text)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return Forbidden(text)
    if state.startswith(_REFUSALS):
        return Unavailable(text)
    lost = state.startswith(_LOST) or state == _CANCELED
    if lost or (not state and isinstance(error, psycopg.OperationalError)):
        if writing:
            return OutcomeUnknown(f"the answer to a write never came: {text}")
        return Unavailable(text)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return Rejected(text)
    return LedgerError(text)


def _text(error: psycopg.Error) -> str:
    """The server's first line: its detail would repeat the row's values."""
    primary = error.diag.message_primary
    return primary or (str(error).strip().splitlines() or [type(error).__name__])[0]
