"""Changes of who has which rights: proposed, approved by somebody else, reverted.

The rules are the server's (migration 18): widening needs a second operator, or time where there is
only one; narrowing is in effect when the call returns. Who we are is what our certificate says,
not what we say. Every step is one event, in the transaction that makes it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ledger.connect import Connection
from ledger.custody import By
from ledger.errors import Rejected, UnknownProposal
from ledger.identifiers import new_id
from ledger.queries import QUERIES
from ledger.translate import translated
from trust.permissions import Role, Scope

Action = Literal["give", "take"]
Decision = Literal["approve", "reject", "revert"]
STEPS: dict[Decision, str] = {
    "approve": "role.approved",
    "reject": "role.rejected",
    "revert": "role.reverted",
}
REVIEW = "review"
"""What an operator has who may propose and approve; it is nothing that a key can have."""


@dataclass(frozen=True)
class Proposal:
    """A change of rights and what became of it. `subject` is `key:ID` or `operator:NAME`, `what`
    `role:NAME`, `scope:NAME` or `review`. `state`: waiting, in_effect, rejected, reverted, or
    lapsed (nobody approved it in time). `revertible`: by one step, now. `alone_from`: when its
    proposer may approve it, if nobody else can.
    """

    number: int
    id: str
    subject: str
    action: Action
    what: str
    why: str
    effects: str | None
    reversible_until: datetime | None
    proposed_by: str
    proposed_at: datetime
    lapses_at: datetime
    state: str
    decided_by: str | None
    decided_at: datetime | None
    decided_why: str | None
    reverted_by: str | None
    reverted_at: datetime | None
    reverted_why: str | None
    revertible: bool
    alone_from: datetime


@dataclass(frozen=True)
class Waiting:
    """How many proposals wait for a decision, and for how long the oldest has (0: none waits)."""

    proposals: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True)
class Reviewers:
    """Who may propose and approve (name, since when), and how long a lone one waits."""

    operators: tuple[tuple[str, datetime], ...]
    alone_waits: timedelta
    lapses_after: timedelta


def right_named(name: str) -> str:
    """`developer` as `role:developer`, `usage:read` as `scope:usage:read`; those as they are.

    Anything else is returned as it is, for the server to refuse: older keys may have it.
    """
    if name in set(Role):
        return f"role:{name}"
    return f"scope:{name}" if name in set(Scope) else name


async def propose(
    connection: Connection,
    by: By,
    *,
    subject: str,
    action: Action,
    what: str,
    why: str,
    effects: str | None = None,
    reversible_for: timedelta | None = None,
) -> Proposal:
    """Propose to give a right, or take one, which is done when this returns.

    A give says its expected `effects` over the long horizon (20 characters at least) and for how
    long it can be reverted by one step, by the server's clock; a take has neither. Raises Forbidden
    for somebody who may not, Rejected for a subject or right that is not there, or that has what it
    should get.
    """
    made = new_id()
    seconds = None if reversible_for is None else int(reversible_for.total_seconds())
    said = {"effects": effects, "reversible_seconds": seconds} if action == "give" else {}
    operator = await operator_here(connection)
    kind = "role.taken" if action == "take" else "role.proposed"
    data = {
        "proposal": str(made),
        "operator": operator,
        "action": action,
        "right": what,
        "why": why,
    }
    values = {
        "id": made,
        "subject": subject,
        "action": action,
        "what": what,
        "why": why,
        "effects": effects,
        "reversible_for": reversible_for,
        "body": by.event(kind, subject, **data, **said),
    }
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["role_propose"], values)).fetchone()
    if row is None:
        raise Rejected("the server made no proposal of it")
    return await show(connection, int(row["number"]))


async def decide(
    connection: Connection, by: By, number: int, decision: Decision, why: str | None
) -> Proposal:
    """Approve, reject or revert a proposal, and what it is then.

    Raises UnknownProposal; Forbidden when it is not this operator's to decide, or not yet, or not
    any more; Rejected when it was decided before or has lapsed.
    """
    present = await show(connection, number)
    data: dict[str, Any] = {
        "proposal": present.id,
        "operator": await operator_here(connection),
        "action": present.action,
        "right": present.what,
        "why": why,
    }
    body = by.event(STEPS[decision], present.subject, **data)
    values = {"number": number, "decision": decision, "why": why, "body": body}
    with translated(writing=True):
        await connection.execute(QUERIES["role_decide"], values)
    return await show(connection, number)


async def show(connection: Connection, number: int) -> Proposal:
    """One proposal; raises UnknownProposal."""
    found = await _proposals(connection, number, None)
    if not found:
        raise UnknownProposal(f"there is no proposal {number}")
    return found[0]


async def history(connection: Connection, subject: str | None = None) -> tuple[Proposal, ...]:
    """Every proposal there ever was, of one subject or of all, oldest first."""
    return await _proposals(connection, None, subject)


async def waiting(connection: Connection) -> Waiting:
    """What waits for a decision now; for the role that settles keys."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["role_waiting"])).fetchone()
    return Waiting() if row is None else Waiting(row["waiting"], row["oldest_seconds"])


async def operator_here(connection: Connection) -> str:
    """The name of the operator whose certificate this connection showed; raises Forbidden."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["role_operator"])).fetchone()
    return "" if row is None else str(row["name"])


async def reviewers(connection: Connection) -> Reviewers:
    """Who may propose and approve, and by which times."""
    with translated(writing=False):
        names = await (await connection.execute(QUERIES["role_operators"])).fetchall()
        rules = await (await connection.execute(QUERIES["role_rules"])).fetchone()
    if rules is None:
        raise Rejected("the server has no rules of reviews")
    return Reviewers(
        tuple((row["name"], row["since"]) for row in names),
        timedelta(seconds=rules["alone_waits_seconds"]),
        timedelta(seconds=rules["lapses_after_seconds"]),
    )


async def _proposals(
    connection: Connection, number: int | None, subject: str | None
) -> tuple[Proposal, ...]:
    values = {"number": number, "subject": subject}
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["role_proposals"], values)).fetchall()
    return tuple(Proposal(**{**row, "id": str(row["id"])}) for row in rows)
