"""What can go wrong between us and the ledger's database.

LedgerError
├── Unavailable          no server answered, or it takes no work now; nothing was done
├── OutcomeUnknown       the connection went while a write was under way: it may have happened
├── Forbidden            this role may not do that
├── Rejected             the server refused the row itself
│   └── Conflict         the same id was written before with other content
├── UnknownKey           no API key has this id
├── UnknownTenant        no tenant has this name
├── UnknownProposal      no change of rights was proposed under this number
├── EventInvalid         not an event the ledger can hold (before any server was asked)
├── NoteInvalid          no signed note, or signed by nobody we know
├── ProofInvalid         a Merkle proof that does not prove what it should
├── Superseded           another sequencer has moved the log on
├── RequestInvalid       bytes that are no request to a witness, or no answer of one
├── PolicyInvalid        text that is no policy of whom to believe
├── UnknownContent       no content of this id, or its data key is not at hand
├── ContentErased        the content was erased; that it was is in the log
├── ContentAltered       stored content that is not what its event committed to
├── LogBroken            what is stored of the log contradicts itself or what was signed
└── MigrationError
    ├── MigrationsBroken     the files are no gapless sequence of pairs
    ├── MigrationTampered    a file that was applied has changed since
    ├── MigrationUnknown     the database is ahead of these files
    ├── MigrationFailed      its SQL failed and was rolled back
    └── MigrationBusy        another run holds the lock
"""

from pathlib import Path


class LedgerError(Exception):
    """Base of everything this package raises on purpose."""


class Unavailable(LedgerError):
    """No server answered in time, or the one that did takes no work now. Nothing was changed."""


class OutcomeUnknown(LedgerError):
    """A write may or may not have happened. Repeating it with the same id is safe."""


class Forbidden(LedgerError):
    """The connection's role lacks the privilege."""


class Rejected(LedgerError):
    """A constraint or trigger refused the row."""


class Conflict(Rejected):
    """The id is taken by something else, or the row is already complete in another way."""


class UnknownKey(LedgerError):
    """No API key has this id."""


class UnknownTenant(LedgerError):
    """No tenant has this name."""


class UnknownProposal(LedgerError):
    """No proposal has this number."""


class EventInvalid(LedgerError):
    """A value that cannot be an event; the text says which field and why."""


class NoteInvalid(LedgerError):
    """Not a signed note, key or checkpoint as C2SP writes them, or not signed as it should be."""


class ProofInvalid(LedgerError):
    """The proof does not lead from what it is about to the root it is for."""


class Superseded(LedgerError):
    """The log is no longer where this sequencer left it: somebody else is at work."""


class RequestInvalid(LedgerError):
    """Not what C2SP tlog-witness sends or answers."""


class PolicyInvalid(LedgerError):
    """Not a C2SP tlog-policy; the text names the line."""


class UnknownContent(LedgerError):
    """No item has this id, or nobody here has the data key it was sealed under."""


class ContentErased(LedgerError):
    """The item was erased on purpose; its event is in the log."""


class ContentAltered(LedgerError):
    """The stored item does not open, or is not what the event committed to."""


class LogBroken(LedgerError):
    """Stored rows, tiles, frontier and signed heads do not belong together; the text says where."""


class MigrationError(LedgerError):
    """Base of what keeps the schema from being moved."""


class MigrationsBroken(MigrationError):
    """A number is missing or used twice, a file has no other half, or a name is malformed."""


class MigrationTampered(MigrationError):
    """An applied migration's file no longer has the digest that was recorded."""

    def __init__(self, path: Path, recorded: str, found: str) -> None:
        self.path, self.recorded, self.found = path, recorded, found
        super().__init__(
            f"{path} was changed after it was applied: recorded sha256 {recorded}, found {found}; "
            "restore the file and put the change into a new migration"
        )


class MigrationUnknown(MigrationError):
    """The database has migrations that these files do not know: a newer release was here."""


class MigrationFailed(MigrationError):
    """A migration's SQL failed; its transaction was rolled back."""


class MigrationBusy(MigrationError):
    """Another run held the migration lock for too long."""
