"""What keys may do: scopes, and the roles that stand for sets of them. Default deny, pure.

A key carries scopes, roles or both. What is not in a scope is not allowed: a role or scope this
release does not know grants nothing. The table is compared cell by cell with the tests and the
reference. Who has which role is data, and changes by reviews (`ledger.roles`); what a role grants
is not: another cell is another release.
"""

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType

from trust.tiers import ALLOWANCES, Tier


class Scope(StrEnum):
    """One right. Every path of the gateway asks for one; none asks for the last two yet."""

    INFERENCE = "inference"  # chat, completions, embeddings, responses, messages, models
    TOKENIZE = "tokenize"  # what a prompt is as tokens
    USAGE_READ = "usage:read"  # what the key's own tenant has used, and its limits
    KEYS_READ = "keys:read"  # the keys of the key's own tenant, without secrets


class Role(StrEnum):
    """A named set of scopes."""

    USER = "user"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    MANAGER = "manager"


ROLE_SCOPES = MappingProxyType(
    {
        Role.USER: frozenset({Scope.INFERENCE}),
        Role.DEVELOPER: frozenset({Scope.INFERENCE, Scope.TOKENIZE, Scope.USAGE_READ}),
        Role.AUDITOR: frozenset({Scope.USAGE_READ, Scope.KEYS_READ}),
        Role.MANAGER: frozenset(Scope),
    }
)


# Scopes whose harm is small: what a weak or dormant key keeps (see trust/tiers.py), and what a new
# key may have without a review. They show nobody's work, and cost no more than the key's limits
# allow.
BASIC = frozenset({Scope.INFERENCE, Scope.TOKENIZE})


def granted(scopes: Iterable[str], roles: Iterable[str]) -> frozenset[str]:
    """Every scope that a key with these scopes and roles has."""
    known = {scope for scope in scopes if scope in set(Scope)}
    for role in roles:
        if role in set(Role):
            known |= ROLE_SCOPES[Role(role)]
    return frozenset(str(scope) for scope in known)


def needs_review(scopes: Iterable[str], roles: Iterable[str]) -> tuple[str, ...]:
    """Those of the rights that no key has before they were proposed and approved.

    Anything that is not known to come to basic scopes at most; `ledger.rights` tells SQL the same.
    """
    basic = {role for role in Role if ROLE_SCOPES[role] <= BASIC}
    return (
        *(f"scope:{scope}" for scope in scopes if scope not in BASIC),
        *(f"role:{role}" for role in roles if role not in basic),
    )


def left_by(tier: Tier, scopes: frozenset[str]) -> frozenset[str]:
    """Those of the granted scopes that a key of this tier may use without a signed proof."""
    return frozenset() if ALLOWANCES[tier].step_up else left_with_proof(tier, scopes)


def left_with_proof(tier: Tier, scopes: frozenset[str]) -> frozenset[str]:
    """Those of the granted scopes that a key of this tier may use with a signed proof."""
    allowed = ALLOWANCES[tier].scopes
    if allowed == "none":
        return frozenset()
    return scopes if allowed == "all" else scopes & frozenset(map(str, BASIC))


def allows(scopes: Iterable[str], roles: Iterable[str], needed: Scope) -> bool:
    """Whether a key with these scopes and roles may do what needs `needed`."""
    return needed in granted(scopes, roles)
