"""Exit codes, and which exception ends in which. No other module knows a number.

Only this module and `deploys.protocol` words are needed to script fedctl; the table of codes is
part of docs/reference/fedctl.md, generated from `Exit`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import click

from daemons.backup.errors import BackupError
from daemons.recovery.errors import RecoveryError
from deploys import errors as deploys_errors
from deploys.errors import FailureKind
from deploys.protocol import Outcome
from fedctl import errors
from fedctl.advice import BY_FAILURE
from inventory import errors as inventory_errors
from lab import errors as lab_errors
from ledger import errors as ledger_errors
from runbooks.errors import RunbookError
from trust import errors as trust_errors

T = TypeVar("T")


class Exit(IntEnum):
    """What the process says when it ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PENDING = 3
    ROLLED_BACK = 4
    ROLLBACK_FAILED = 5
    UNREACHABLE = 6
    LOCKED = 7
    INTERRUPTED = 130


MEANING = {
    Exit.DONE: "done, or nothing to do",
    Exit.FAILED: "failed; what did and what to do about it is on stderr",
    Exit.USAGE: "wrong usage: an unknown option, a selector that matches nothing, a bad inventory, "
    "a destructive command off a terminal without --yes",
    Exit.PENDING: "`plan` found changes pending",
    Exit.ROLLED_BACK: "failed, and the node put its old state back",
    Exit.ROLLBACK_FAILED: "failed, and the node did not come back with its old state",
    Exit.UNREACHABLE: "a node could not be reached",
    Exit.LOCKED: "another operator is changing the fleet",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}

_OUTCOMES = {
    Outcome.UNCHANGED: Exit.DONE,
    Outcome.CHANGED: Exit.DONE,
    Outcome.PENDING: Exit.PENDING,
    Outcome.FAILED: Exit.FAILED,
    Outcome.UNREACHABLE: Exit.UNREACHABLE,
    Outcome.ROLLED_BACK: Exit.ROLLED_BACK,
    Outcome.ROLLBACK_FAILED: Exit.ROLLBACK_FAILED,
    Outcome.INTERRUPTED: Exit.INTERRUPTED,
}

_NODE_FAILURES = {
    **dict.fromkeys(deploys_errors.UNREACHABLE, Exit.UNREACHABLE),
    FailureKind.ROLLED_BACK: Exit.ROLLED_BACK,
    FailureKind.ROLLBACK_FAILED: Exit.ROLLBACK_FAILED,
}

# The most specific class of an exception decides.
_CLASSES: dict[type[BaseException], Exit] = {
    KeyboardInterrupt: Exit.INTERRUPTED,
    click.Abort: Exit.INTERRUPTED,
    click.UsageError: Exit.USAGE,
    errors.FedctlError: Exit.FAILED,
    errors.NeedsYes: Exit.USAGE,
    errors.NotHere: Exit.USAGE,
    errors.NoSuchRun: Exit.USAGE,
    errors.Locked: Exit.LOCKED,
    errors.NoMajority: Exit.UNREACHABLE,
    errors.NoSuchEvent: Exit.USAGE,
    errors.NoGateway: Exit.UNREACHABLE,
    errors.TooFewWitnesses: Exit.UNREACHABLE,
    errors.GuardianAway: Exit.UNREACHABLE,
    inventory_errors.InventoryError: Exit.USAGE,
    deploys_errors.DeployError: Exit.FAILED,
    deploys_errors.Interrupted: Exit.INTERRUPTED,
    lab_errors.LabError: Exit.FAILED,
    lab_errors.NotALab: Exit.USAGE,
    lab_errors.LabBusy: Exit.LOCKED,
    ledger_errors.LedgerError: Exit.FAILED,
    ledger_errors.Unavailable: Exit.UNREACHABLE,
    trust_errors.TrustError: Exit.FAILED,
    RunbookError: Exit.FAILED,
    BackupError: Exit.FAILED,
    RecoveryError: Exit.FAILED,
}

_ADVICE: dict[type[BaseException], str] = {
    inventory_errors.InventoryMissing: "name one with -i PATH or FEDERATION_INVENTORY",
    inventory_errors.InventoryInvalid: "every field is described in docs/reference/inventory.md",
    inventory_errors.UnknownNode: "a selector is a node's name or a role",
    lab_errors.NotALab: "choose a lab's inventory with -i PATH",
    lab_errors.LabBusy: "wait for it to end, then try again",
    ledger_errors.Unavailable: "see whether the database is up: fedctl status --on data",
    ledger_errors.OutcomeUnknown: "look before you repeat it: fedctl keys list",
    ledger_errors.UnknownKey: "fedctl keys list shows every key's id",
    ledger_errors.UnknownProposal: "fedctl roles history shows every proposal's number",
    ledger_errors.UnknownTenant: "fedctl tenants list shows every tenant",
    trust_errors.AuthorityMissing: "the authority is made by the first `fedctl up` or `apply`",
    trust_errors.KeyExposed: "chmod 600 the key file, and think about who could have read it",
}


@dataclass(frozen=True)
class Ending:
    """How the process ends: the code, what to tell a person, and what they can do."""

    code: int
    message: str = ""
    advice: str = ""
    expected: bool = True


def ending_of(error: BaseException) -> Ending:
    """How a command that raised `error` ends; `expected` is False for a defect of ours."""
    if isinstance(error, click.exceptions.Exit):
        return Ending(error.exit_code)
    if isinstance(error, errors.RemoteExit):
        return Ending(error.code, str(error), error.advice)
    if isinstance(error, errors.RunEnded):
        return Ending(_OUTCOMES[error.outcome], str(error), error.advice)
    if isinstance(error, deploys_errors.NodeError):
        code = _NODE_FAILURES.get(error.kind, Exit.FAILED)
        return Ending(code, str(error), BY_FAILURE.get(error.kind, ""))
    kind = _nearest(_CLASSES, error)
    if kind is None:
        return _unexpected(error)
    return _known(error, kind)


def _known(error: BaseException, code: Exit) -> Ending:
    if code is Exit.INTERRUPTED:
        return Ending(code, "interrupted")
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    advice = error.advice if isinstance(error, errors.FedctlError) else ""
    return Ending(code, message, advice or _nearest(_ADVICE, error) or "")


def _unexpected(error: BaseException) -> Ending:
    if isinstance(error, BrokenPipeError):
        return Ending(Exit.FAILED)
    if isinstance(error, OSError) and error.filename is not None:
        return Ending(Exit.FAILED, f"{error.filename}: {error.strerror}")
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return Ending(Exit.FAILED, what, "a defect; --debug shows where", expected=False)


def _nearest(table: dict[type[BaseException], T], error: BaseException) -> T | None:
    for cls in type(error).__mro__:
        if cls in table:
            return table[cls]
    return None
