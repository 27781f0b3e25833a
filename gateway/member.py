"""Whom a key speaks for, with the limits it is under."""

from dataclasses import dataclass

from gateway.seams import Principal
from ledger.limits import UNLIMITED, Limits, key_subject
from trust.tiers import Tier


@dataclass(frozen=True, slots=True)
class Member(Principal):
    """A principal of a tenant. Limits that do not exist are the one object UNLIMITED.

    `scopes` are what its tier leaves of those that were `granted`. Keys of a `family` share limits.
    """

    limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED
    granted: frozenset[str] = frozenset()
    tier: Tier = Tier.STRONG
    family: str = ""

    @property
    def limit_subject(self) -> str:
        """Whose limits its own are."""
        return key_subject(self.family or self.key_id)

    @property
    def is_limited(self) -> bool:
        """Whether any limit at all holds."""
        return self.limits is not UNLIMITED or self.tenant_limits is not UNLIMITED
