"""Whom a key speaks for, with the limits it is under."""

from dataclasses import dataclass

from gateway.seams import Principal
from ledger.limits import UNLIMITED, Limits


@dataclass(frozen=True, slots=True)
class Member(Principal):
    """A principal of a tenant. Limits that do not exist are the one object UNLIMITED."""

    limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED

    @property
    def is_limited(self) -> bool:
        """Whether any limit at all holds."""
        return self.limits is not UNLIMITED or self.tenant_limits is not UNLIMITED
