"""psycopg's errors become ours; a write without a verdict is never called failed."""

import psycopg
import pytest
from psycopg import errors

from ledger.errors import (
    Conflict,
    Forbidden,
    LedgerError,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from ledger.translate import translated

CASES = [
    (psycopg.OperationalError("the connection is lost"), OutcomeUnknown, Unavailable),
    (errors.AdminShutdown("terminating"), OutcomeUnknown, Unavailable),
    (errors.CrashShutdown("terminating"), OutcomeUnknown, Unavailable),
    (errors.ConnectionFailure("lost"), OutcomeUnknown, Unavailable),
    # Waiting for a synchronous standby is cancelled: the commit may be visible already.
    (errors.QueryCanceled("canceling"), OutcomeUnknown, Unavailable),
    (errors.IoError("disk"), OutcomeUnknown, Unavailable),
    (errors.CannotConnectNow("starting up"), Unavailable, Unavailable),
    (errors.TooManyConnections("full"), Unavailable, Unavailable),
    (errors.DiskFull("no space"), Unavailable, Unavailable),
    (errors.LockNotAvailable("locked"), Unavailable, Unavailable),
    (errors.DeadlockDetected("a circle"), Unavailable, Unavailable),
    (errors.InsufficientPrivilege("no"), Forbidden, Forbidden),
    (errors.UniqueViolation("twice"), Conflict, Conflict),
    (errors.CheckViolation("bad"), Rejected, Rejected),
    (errors.ForeignKeyViolation("nobody"), Rejected, Rejected),
    (errors.InvalidTextRepresentation("no uuid"), Rejected, Rejected),
    (errors.UndefinedTable("no such"), LedgerError, LedgerError),
]


@pytest.mark.parametrize(("raised", "writing", "reading"), CASES, ids=lambda c: type(c).__name__)
def test_each_error_has_its_place(
    raised: psycopg.Error, writing: type[LedgerError], reading: type[LedgerError]
) -> None:
    for is_writing, expected in ((True, writing), (False, reading)):
        with pytest.raises(LedgerError) as caught, translated(writing=is_writing):
            raise raised
        assert type(caught.value) is expected
        assert caught.value.__cause__ is raised


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), translated(writing=True):
        raise ZeroDivisionError
