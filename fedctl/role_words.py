"""What `fedctl roles` says of rights and proposals. Pure."""

import re
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fedctl.errors import FedctlError
from fedctl.render import age
from ledger.keys import KeyRecord
from ledger.roles import REVIEW, Proposal, Reviewers
from trust.permissions import ROLE_SCOPES, Role, Scope, granted

COLUMNS = ("no.", "state", "change", "why", "proposed", "decided", "revert until")
SUBJECT = re.compile(r"key:[0-9A-Za-z]{11}|operator:[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


def subject_named(text: str) -> str:
    """`key:ID` or `operator:NAME` of what a person typed; a bare word is a key's id."""
    named = text if ":" in text else f"key:{text}"
    if not SUBJECT.fullmatch(named):
        raise FedctlError(
            f"{text[:80]!r} is no key's id and no operator",
            "fedctl keys list shows ids; an operator is written operator:NAME",
        )
    return named


def rights_of(record: KeyRecord) -> tuple[str, ...]:
    """A key's scopes and roles as rights."""
    return (*(f"scope:{s}" for s in record.scopes), *(f"role:{r}" for r in record.roles))


def scopes_of(rights: tuple[str, ...]) -> tuple[str, ...]:
    """What these rights come to by the policy of this release."""
    parts = [right.partition(":") for right in rights]
    scopes = [name for kind, _, name in parts if kind == "scope"]
    roles = [name for kind, _, name in parts if kind == "role"]
    return tuple(sorted(granted(scopes, roles)))


def value(proposal: Proposal) -> dict[str, Any]:
    """A proposal as JSON has it."""
    found = asdict(proposal)
    found["right"] = found.pop("what")
    return found


def row(proposal: Proposal, now: datetime) -> tuple[str, ...]:
    """A proposal as a line of a table of COLUMNS."""
    decided = (proposal.reverted_by, proposal.reverted_at)
    if proposal.reverted_at is None:
        decided = (proposal.decided_by, proposal.decided_at)
    by, at = decided
    return (
        str(proposal.number),
        proposal.state.replace("_", " "),
        change(proposal),
        proposal.why,
        f"{proposal.proposed_by}, {age(proposal.proposed_at, now)}",
        f"{by}, {age(at, now)}" if at is not None else "",
        day(proposal.reversible_until) if proposal.reversible_until else "",
    )


def change(proposal: Proposal) -> str:
    """What a proposal does, in a few words."""
    word = "to" if proposal.action == "give" else "from"
    return f"{proposal.action} {proposal.what} {word} {proposal.subject}"


def described(proposal: Proposal) -> str:
    """A proposal as a person reads it before they decide."""
    lines = [
        f"proposal {proposal.number} ({proposal.state.replace('_', ' ')}): {change(proposal)}",
        f"  why: {proposal.why} ({proposal.proposed_by}, {day(proposal.proposed_at)})",
    ]
    if proposal.effects:
        lines.append(f"  over the long horizon: {proposal.effects}")
    if proposal.reversible_until:
        lines.append(f"  one command reverts it until {day(proposal.reversible_until)}")
    return "\n".join(lines)


def what_next(proposal: Proposal, reviewers: Reviewers) -> str:
    """Who can approve a proposal that waits, from when and until when."""
    others = [name for name, _ in reviewers.operators if name != proposal.proposed_by]
    command = f"fedctl roles approve {proposal.number}"
    end = f"it lapses on {day(proposal.lapses_at)}"
    if others:
        return f"{command}, by {' or '.join(others)}; {end}"
    return f"{command}, from {day(proposal.alone_from)} on: there is no other operator; {end}"


def who_reviews(reviewers: Reviewers) -> str:
    """Which rule holds now."""
    names = ", ".join(name for name, _ in reviewers.operators)
    days = reviewers.alone_waits.days
    if len(reviewers.operators) > 1:
        return f"operators: {names}. Giving a right needs one who did not propose it."
    return f"operator: {names}, alone. Giving a right needs {days} days and a second command."


def cells() -> list[tuple[str, ...]]:
    """The policy: a line for each role, a cell for each scope."""
    return [
        (role.value, *("yes" if scope in ROLE_SCOPES[role] else "no" for scope in Scope))
        for role in Role
    ]


def policy(reviewers: Reviewers) -> dict[str, Any]:
    """The policy and who reviews, as JSON."""
    return {
        "roles": {role.value: sorted(ROLE_SCOPES[role]) for role in Role},
        "operators": [{"name": name, "since": since} for name, since in reviewers.operators],
        "alone_waits_seconds": int(reviewers.alone_waits.total_seconds()),
        "lapses_after_seconds": int(reviewers.lapses_after.total_seconds()),
        "operator_right": REVIEW,
    }


def day(moment: datetime) -> str:
    """A moment to the minute, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")
