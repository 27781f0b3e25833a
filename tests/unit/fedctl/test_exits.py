"""Every way a command can end has a code and words; no exception is forgotten."""

import importlib
import inspect

import click
import pytest

from deploys.errors import FailureKind, NodeError
from deploys.protocol import Outcome
from fedctl import errors
from fedctl.exits import MEANING, Ending, Exit, ending_of
from inventory.errors import InventoryInvalid, Problem, UnknownNode
from lab.errors import LabUnavailable
from ledger.errors import Unavailable

TREES = ("inventory", "trust", "ledger", "lab", "deploys", "fedctl", "runbooks")


def classes() -> list[type[Exception]]:
    found = []
    for package in TREES:
        try:
            module = importlib.import_module(f"{package}.errors")
        except ModuleNotFoundError:
            continue
        found += [
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, Exception)
            and not issubclass(cls, ValueError)
            and cls.__module__ == module.__name__
        ]
    return found


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_error_of_ours_is_expected(cls: type[Exception]) -> None:
    error = cls.__new__(cls)
    Exception.__init__(error, "what happened")
    if isinstance(error, errors.RunEnded):
        error.outcome = Outcome.FAILED
    if isinstance(error, errors.RemoteExit):
        error.code = 9
    if isinstance(error, NodeError):
        error.kind = FailureKind.DOWN
    assert ending_of(error).expected
    assert ending_of(error).code != Exit.DONE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (click.Abort(), Exit.INTERRUPTED),
        (click.UsageError("x"), Exit.USAGE),
        (UnknownNode("x", ()), Exit.USAGE),
        (InventoryInvalid("f", (Problem("a", "b", "c"),)), Exit.USAGE),
        (errors.NeedsYes("x"), Exit.USAGE),
        (errors.Declined("x"), Exit.FAILED),
        (errors.Locked(errors.Holder("o", "r", "t", "s", "u")), Exit.LOCKED),
        (errors.NoMajority(1, 4, ()), Exit.UNREACHABLE),
        (errors.RunEnded(Outcome.PENDING, ""), Exit.PENDING),
        (errors.RunEnded(Outcome.ROLLED_BACK, ""), Exit.ROLLED_BACK),
        (errors.RunEnded(Outcome.ROLLBACK_FAILED, ""), Exit.ROLLBACK_FAILED),
        (errors.RemoteExit(42, ""), 42),
        (NodeError(FailureKind.WRONG_KEY, "x"), Exit.UNREACHABLE),
        (NodeError(FailureKind.OPERATION, "x"), Exit.FAILED),
        (LabUnavailable(["x"], "y"), Exit.FAILED),
        (Unavailable("x"), Exit.UNREACHABLE),
        (RuntimeError("x"), Exit.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_codes(error: BaseException, code: int) -> None:
    assert ending_of(error).code == code


def test_every_outcome_of_a_deploy_has_a_code() -> None:
    for outcome in Outcome:
        assert isinstance(ending_of(errors.RunEnded(outcome, "")), Ending)


def test_a_defect_is_called_one_and_shows_no_traceback() -> None:
    ending = ending_of(ZeroDivisionError("division by zero"))
    assert not ending.expected
    assert ending.message == "ZeroDivisionError: division by zero"
    assert "--debug" in ending.advice


def test_a_full_disk_here_names_the_file() -> None:
    assert ending_of(OSError(28, "No space left on device", "/var/x")).message == (
        "/var/x: No space left on device"
    )


def test_every_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)
