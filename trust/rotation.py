"""Rotation of a data key, decided purely: what to do next, from a plan and what is seen.

Invariant: at every moment, also between any two steps and after a crash at any of them, every
envelope that lies anywhere can be opened by any two shares.

    prepare   store a new data key, wrapped for all pairs, beside the old one
    verify    read it back as stored and open it with each of the three pairs
    commit    make the new epoch the one that new envelopes are sealed under
    rewrap    seal the old epoch's envelopes anew, batch after batch
    retire    drop the old data key, once nothing and nobody can need it
    done

The rules that keep it: nothing is sealed under a key that has not been opened from its stored form
by all pairs *in this run*; the old key goes last, and only when it is known (never assumed) that no
writer, no envelope and no restorable backup is of its epoch; every action can be repeated.

The caller runs a loop: look, `decide`, do the action, save the decision's plan, again. It keeps one
plan a key and runs one rotation of a key at a time. It looks at writers first, at envelopes next
and at backups last: a writer that still held the old key could otherwise leave an envelope behind
the count, and a backup could be taken before the count and listed after it was looked for.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_ATTEMPTS = 3
BATCH = 500


class Phase(StrEnum):
    """Where a rotation stands. Kept in storage: never rename."""

    PREPARE = "prepare"
    VERIFY = "verify"
    COMMIT = "commit"
    REWRAP = "rewrap"
    RETIRE = "retire"
    DONE = "done"


class Stored(StrEnum):
    """What is known about the new epoch's wrapped key in storage."""

    ABSENT = "absent"
    UNTESTED = "untested"  # it is there; what a rotation always starts from after a crash
    OPENS = "opens"  # read back and opened by all three pairs, in this run
    BROKEN = "broken"  # read back and refused


@dataclass(frozen=True)
class Plan:
    """What survives a crash. `attempts` counts keys that were stored for the new epoch."""

    key_id: str
    old: int
    new: int
    phase: Phase = Phase.PREPARE
    attempts: int = 0

    def __post_init__(self) -> None:
        if self.new <= self.old:
            raise ValueError(f"epoch {self.new} does not come after {self.old}")


@dataclass(frozen=True)
class Seen:
    """What a look around found. None means unknown, and unknown never allows anything."""

    current: int | None
    """The epoch that writers are told to seal under."""
    new_key: Stored
    old_key_present: bool
    oldest_writer: int | None
    """The lowest epoch any live writer may still seal under (cached key, open transaction)."""
    oldest_backup: int | None
    """The lowest epoch of an envelope in a backup that may still be restored; `new` if none."""
    old_envelopes: int | None
    """How many envelopes of the old epoch lie in all tables."""


@dataclass(frozen=True)
class StoreNewKey:
    """Make a data key, wrap it, and put it where `epoch` is stored, whole or not at all."""

    epoch: int


@dataclass(frozen=True)
class OpenWithAllPairs:
    """Read the wrapped key of `epoch` back and `shares.verify` it: Stored.OPENS or BROKEN."""

    epoch: int


@dataclass(frozen=True)
class SetCurrent:
    """Make `new` the current epoch if `old` still is: one atomic compare-and-set."""

    old: int
    new: int


@dataclass(frozen=True)
class Reseal:
    """`envelope.reseal` up to `limit` envelopes, each put back only if it is still the one read."""

    old: int
    new: int
    limit: int


@dataclass(frozen=True)
class DropKey:
    """Delete the wrapped key of `epoch`."""

    epoch: int


Action = StoreNewKey | OpenWithAllPairs | SetCurrent | Reseal | DropKey


class Kind(StrEnum):
    """What the caller does with a decision."""

    ACT = "act"  # do the action, save the plan, look again
    ADVANCE = "advance"  # save the plan, look again
    WAIT = "wait"  # nothing to do until something else changes
    HALT = "halt"  # a person has to look; nothing is lost
    DONE = "done"


@dataclass(frozen=True)
class Decision:
    """What to do, why (the log line), and the plan to save after it is done."""

    kind: Kind
    reason: str
    plan: Plan
    action: Action | None = None


def decide(plan: Plan, seen: Seen) -> Decision:
    """The next step. Pure: the same plan and sight always give the same decision."""
    if plan.phase is Phase.DONE:
        return Decision(Kind.DONE, f"{plan.key_id} is at epoch {plan.new}", plan)
    if seen.current is None:
        return Decision(Kind.WAIT, "the current epoch is unknown", plan)
    if seen.current not in (plan.old, plan.new):
        return _halt(plan, f"epoch {seen.current} is current, neither {plan.old} nor {plan.new}")
    if not seen.old_key_present and not (plan.phase is Phase.RETIRE and not seen.old_envelopes):
        return _halt(plan, f"the key of epoch {plan.old} is missing and may be needed: restore it")
    if seen.current == plan.new and plan.phase in (Phase.PREPARE, Phase.VERIFY):
        return _halt(plan, f"epoch {plan.new} is current, but was not verified by this rotation")
    if seen.current == plan.old and plan.phase in (Phase.REWRAP, Phase.RETIRE):
        return _halt(plan, f"epoch {plan.old} is current again: somebody undid the commit")
    if plan.phase in (Phase.REWRAP, Phase.RETIRE) and seen.new_key is not Stored.OPENS:
        return _retest(plan, seen)
    return _PHASES[plan.phase](plan, seen)


def _prepare(plan: Plan, seen: Seen) -> Decision:
    if seen.new_key in (Stored.UNTESTED, Stored.OPENS):
        return _advance(plan, Phase.VERIFY, "the new key is stored")
    if plan.attempts >= MAX_ATTEMPTS:
        return _halt(plan, f"{plan.attempts} new keys were stored and none could be read back")
    # Whatever lies there is replaced: nothing has been sealed under it before the commit.
    return Decision(
        Kind.ACT,
        f"no usable key of epoch {plan.new} is stored",
        replace(plan, attempts=plan.attempts + 1),
        StoreNewKey(plan.new),
    )


def _verify(plan: Plan, seen: Seen) -> Decision:
    if seen.new_key in (Stored.ABSENT, Stored.BROKEN):
        return _advance(plan, Phase.PREPARE, f"the stored new key is {seen.new_key}")
    if seen.new_key is Stored.OPENS:
        return _advance(plan, Phase.COMMIT, "each pair opens the stored new key")
    reason = "the stored new key is untested"
    return Decision(Kind.ACT, reason, plan, OpenWithAllPairs(plan.new))


def _commit(plan: Plan, seen: Seen) -> Decision:
    if seen.current == plan.new:
        return _advance(plan, Phase.REWRAP, f"epoch {plan.new} is current")
    if seen.new_key is not Stored.OPENS:
        return _advance(plan, Phase.VERIFY, f"the stored new key is {seen.new_key} in this run")
    reason = "each pair opens the stored new key"
    return Decision(Kind.ACT, reason, plan, SetCurrent(plan.old, plan.new))


def _retest(plan: Plan, seen: Seen) -> Decision:
    """After a crash the new key is opened again, before anything is entrusted to it alone."""
    if seen.new_key is Stored.UNTESTED:
        reason = "the stored new key is untested in this run"
        return Decision(Kind.ACT, reason, plan, OpenWithAllPairs(plan.new))
    return _halt(plan, f"the key of epoch {plan.new} is in use and {seen.new_key}: restore it")


def _rewrap(plan: Plan, seen: Seen) -> Decision:
    if seen.old_envelopes is None:
        return Decision(Kind.WAIT, "the number of old envelopes is unknown", plan)
    if seen.old_envelopes:
        reason = f"{seen.old_envelopes} envelopes are of epoch {plan.old}"
        return Decision(Kind.ACT, reason, plan, Reseal(plan.old, plan.new, BATCH))
    return _advance(plan, Phase.RETIRE, f"no envelope of epoch {plan.old} is left")


def _retire(plan: Plan, seen: Seen) -> Decision:
    if seen.old_envelopes is None:
        return Decision(Kind.WAIT, "the number of old envelopes is unknown", plan)
    if seen.old_envelopes:
        return _advance(plan, Phase.REWRAP, f"{seen.old_envelopes} old envelopes came late")
    if not seen.old_key_present:
        return _advance(plan, Phase.DONE, f"the key of epoch {plan.old} is gone")
    for what, least in (("writer", seen.oldest_writer), ("backup", seen.oldest_backup)):
        if least is None or least < plan.new:
            known = "unknown" if least is None else f"at {least}"
            return Decision(Kind.WAIT, f"the oldest {what}'s epoch is {known}", plan)
    reason = f"nothing and nobody needs epoch {plan.old}"
    return Decision(Kind.ACT, reason, plan, DropKey(plan.old))


_PHASES = {
    Phase.PREPARE: _prepare,
    Phase.VERIFY: _verify,
    Phase.COMMIT: _commit,
    Phase.REWRAP: _rewrap,
    Phase.RETIRE: _retire,
}


def _advance(plan: Plan, phase: Phase, reason: str) -> Decision:
    return Decision(Kind.ADVANCE, reason, replace(plan, phase=phase))


def _halt(plan: Plan, reason: str) -> Decision:
    return Decision(Kind.HALT, reason, plan)
