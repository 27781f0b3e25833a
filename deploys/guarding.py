"""Confirm a guarded change over a new connection, or see it undone. See `operations/guard.py`."""

import time
from collections.abc import Callable

from deploys.context import NodeContext
from deploys.errors import FailureKind, NodeError
from deploys.protocol import Event, GuardArmed, GuardConfirmed, GuardUndone
from deploys.session import Session, wait_for_session

# No confirmation is tried this close to the undo, which must win or lose clearly.
MARGIN_SECONDS = 6.0
APPLIED_WAIT_SECONDS = 10.0
RECOVERY_SECONDS = 60.0


def confirm(
    context: NodeContext,
    guard: str,
    seconds: int,
    emit: Callable[[Event], None],
    begun: float,
    lost: NodeError | None = None,
) -> Session:
    """Keep the change `guard`, armed for `seconds`; returns the new session that confirmed it.

    `begun` is the monotonic time just before it was armed; `lost` is how the connection went while
    it was, when it did. Raises NodeError with ROLLED_BACK when the node undid the change and is
    well, with ROLLBACK_FAILED when it is not, and `lost` when the change was never begun.
    """
    name, user = context.node.name, context.federation.operator_user
    emit(GuardArmed(name, guard, seconds))
    armed_until = time.monotonic() + seconds
    session: Session | None = None
    reason = ""
    try:
        left = max(1.0, begun + seconds - MARGIN_SECONDS - time.monotonic())
        session = wait_for_session(context.node, context.home, user, left)
        request = {"name": guard, "wait_seconds": APPLIED_WAIT_SECONDS}
        state = session.call("guard_confirm", request)["state"]
        if state == "confirmed":
            emit(GuardConfirmed(name, guard, time.monotonic() - begun))
            return session
        reason = f"the change is {state}"
        if state == "none" and lost is not None:
            session.close()
            raise lost
    except NodeError as error:
        if error is lost:
            raise
        reason = str(error)
    if session is not None:
        session.close()
    return _after_the_undo(context, guard, reason, armed_until, emit, begun, lost)


def _after_the_undo(
    context: NodeContext,
    guard: str,
    reason: str,
    armed_until: float,
    emit: Callable[[Event], None],
    begun: float,
    lost: NodeError | None,
) -> Session:
    """Wait until the undo has happened and look whether the node is well again.

    Returns a session in one case: the confirmation had arrived, only its answer had not.
    """
    name, user = context.node.name, context.federation.operator_user
    time.sleep(max(0.0, armed_until - time.monotonic()) + 1.0)
    try:
        session = wait_for_session(context.node, context.home, user, RECOVERY_SECONDS)
    except NodeError as error:
        message = f"{guard}: no new connection ({reason}), and none after the undo either: {error}"
        emit(GuardUndone(name, guard, False, message, time.monotonic() - begun))
        raise NodeError(FailureKind.ROLLBACK_FAILED, message) from error
    try:
        request = {"name": guard, "wait_seconds": APPLIED_WAIT_SECONDS}
        found = session.call("guard_confirm", request)
    except NodeError as error:
        found = {"state": str(error)}
    if found["state"] == "confirmed" or (found["state"] == "none" and lost is None):
        emit(GuardConfirmed(name, guard, time.monotonic() - begun))
        return session
    session.close()
    if found["state"] == "none" and lost is not None:
        raise lost
    well = found["state"] == "undone" and found.get("code") == "0"
    end = "the node put the old state back" if well else f"the undo ended as {found}"
    message = f"{guard}: no new connection could confirm it ({reason}); {end}"
    emit(GuardUndone(name, guard, well, message, time.monotonic() - begun))
    raise NodeError(FailureKind.ROLLED_BACK if well else FailureKind.ROLLBACK_FAILED, message)
