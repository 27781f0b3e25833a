"""Whether to give out the half for a data key: pure.

Invariant: nothing is released that no rule allows, nor more in an hour than the limits say, whoever
asks and however often. Default deny: a caller, tenant or class that no rule names gets nothing.

A release counts against its limits from when it was decided, whether or not anybody got it: an
answer that was lost may have been read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from trust.datakeys import KeyName

WINDOW = timedelta(hours=1)
EVERY = "*"


class Kind(StrEnum):
    """What becomes of a request; the word is the label of its metric."""

    RELEASE = "released"
    MALFORMED = "malformed"
    NOT_ALLOWED = "not_allowed"
    TENANT_LIMIT = "tenant_limit"
    TOTAL_LIMIT = "total_limit"
    LEDGER_AWAY = "ledger_away"
    UNSIGNED = "unsigned"
    REPLAYED = "replayed"


STATUS = {
    Kind.RELEASE: 200,
    Kind.MALFORMED: 400,
    Kind.NOT_ALLOWED: 403,
    Kind.TENANT_LIMIT: 429,
    Kind.TOTAL_LIMIT: 429,
    Kind.LEDGER_AWAY: 503,
    Kind.UNSIGNED: 401,
    Kind.REPLAYED: 401,
}


@dataclass(frozen=True)
class Rule:
    """`caller` (a certificate's common name) may have halves for these tenants and classes.

    `*` among the tenants or classes is every one; a class may end in `*`. `rotates`: and may give a
    warrant to seal their content anew.
    """

    caller: str
    tenants: tuple[str, ...]
    classes: tuple[str, ...]
    rotates: bool = False

    def allows(self, caller: str, tenant: str, object_class: str) -> bool:
        """Whether this rule is about such a request."""
        return (
            caller == self.caller
            and (EVERY in self.tenants or tenant in self.tenants)
            and any(_fits(pattern, object_class) for pattern in self.classes)
        )


@dataclass(frozen=True)
class Policy:
    """Who may have what, and how many releases an hour, for one tenant and in all."""

    rules: tuple[Rule, ...]
    tenant_per_hour: int
    total_per_hour: int


@dataclass(frozen=True)
class Ask:
    """Somebody's wish for the half of one data key. `purpose` is theirs to say, for the record."""

    caller: str
    name: KeyName
    purpose: str

    @property
    def tenant(self) -> str:
        """Whose key it is: what stands before the key id's slash."""
        return self.name.id.partition("/")[0]

    @property
    def object_class(self) -> str:
        """What the key is for: what stands after the key id's slash, or nothing."""
        return self.name.id.partition("/")[2]


@dataclass(frozen=True)
class Released:
    """One release, as limits remember it."""

    at: datetime
    tenant: str


@dataclass(frozen=True)
class Verdict:
    """What to do and why. `retry_seconds` is set when asking again later may help."""

    kind: Kind
    reason: str
    retry_seconds: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return STATUS[self.kind]


def judge(ask: Ask, policy: Policy, past: Sequence[Released], now: datetime) -> Verdict:
    """What to answer, given all releases of the last hour (older ones do no harm)."""
    if not any(rule.allows(ask.caller, ask.tenant, ask.object_class) for rule in policy.rules):
        return Verdict(Kind.NOT_ALLOWED, f"no rule lets {ask.caller} have halves of {ask.name.id}")
    recent = remembered(past, now)
    tenants = [each for each in recent if each.tenant == ask.tenant]
    for kind, counted, limit, whose in (
        (Kind.TENANT_LIMIT, tenants, policy.tenant_per_hour, f"for the tenant {ask.tenant}"),
        (Kind.TOTAL_LIMIT, recent, policy.total_per_hour, "in all"),
    ):
        if len(counted) >= limit:
            # Once the oldest that is too many is an hour old, there is room for one.
            free = sorted(each.at for each in counted)[len(counted) - limit] + WINDOW
            wait = max(1, -int((now - free).total_seconds() // 1))
            reason = f"{len(counted)} releases in the last hour {whose}, at most {limit}"
            return Verdict(kind, reason, wait)
    return Verdict(Kind.RELEASE, f"{ask.name} to {ask.caller} ({ask.purpose})")


def may_rotate(ask: Ask, policy: Policy) -> bool:
    """Whether whoever asks may give a warrant for this key."""
    return any(
        rule.rotates and rule.allows(ask.caller, ask.tenant, ask.object_class)
        for rule in policy.rules
    )


def remembered(past: Sequence[Released], now: datetime) -> list[Released]:
    """Those that still count at `now`. One of the future counts: a clock that was turned back
    gives nobody anything."""
    return [each for each in past if each.at > now - WINDOW]


def _fits(pattern: str, object_class: str) -> bool:
    if pattern.endswith(EVERY):
        return object_class.startswith(pattern[: -len(EVERY)])
    return pattern == object_class
