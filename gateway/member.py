"""Whom a key speaks for, with the limits it is under."""

from dataclasses import dataclass, field

from gateway.seams import Principal
from ledger.limits import UNLIMITED, Limits, key_subject, tenant_subject
from trust.tiers import Tier


@dataclass(frozen=True, slots=True)
class Member(Principal):
    """A principal of a tenant. Limits that do not exist are the one object UNLIMITED.

    `scopes` are what its tier leaves of those that were `granted`. Keys of a `family` share limits:
    `limit_subject` is whose limits its own are, `tenant_subject` whose its tenant's are.
    """

    limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED
    granted: frozenset[str] = frozenset()
    tier: Tier = Tier.STRONG
    family: str = ""
    limit_subject: str = field(init=False, repr=False, compare=False)
    tenant_subject: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit_subject", key_subject(self.family or self.key_id))
        object.__setattr__(self, "tenant_subject", tenant_subject(self.tenant))

    @property
    def is_limited(self) -> bool:
        """Whether any limit at all holds."""
        return self.limits is not UNLIMITED or self.tenant_limits is not UNLIMITED
