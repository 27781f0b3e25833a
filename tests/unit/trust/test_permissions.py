"""Who may do what: every cell of the table, and nothing beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.permissions import (
    ROLE_SCOPES,
    Role,
    Scope,
    allows,
    granted,
    left_by,
    left_with_proof,
    needs_review,
)
from trust.tiers import Tier

# One row a role, one column a scope, in the order of the enumerations.
TABLE = {
    Role.USER: "yes no no no",
    Role.DEVELOPER: "yes yes yes no",
    Role.AUDITOR: "no no yes yes",
    Role.MANAGER: "yes yes yes yes",
}
CELLS = [
    (role, scope, word == "yes")
    for role, row in TABLE.items()
    for scope, word in zip(Scope, row.split(), strict=True)
]


def test_the_table_has_every_role() -> None:
    assert set(TABLE) == set(Role) == set(ROLE_SCOPES)


# What a new key may have at once; everything else is proposed and approved.
AT_ONCE = {"scope:inference", "scope:tokenize", "role:user"}
RIGHTS = [*(f"scope:{scope}" for scope in Scope), *(f"role:{role}" for role in Role)]


@pytest.mark.parametrize("right", [*RIGHTS, "scope:everything", "role:king"])
def test_a_right_needs_a_review_unless_it_is_basic(right: str) -> None:
    kind, _, name = right.partition(":")
    given_scopes, given_roles = ([name], []) if kind == "scope" else ([], [name])
    expected = () if right in AT_ONCE else (right,)
    assert needs_review(given_scopes, given_roles) == expected


@pytest.mark.parametrize(("role", "scope", "allowed"), CELLS)
def test_a_role_may_what_its_cell_says(role: Role, scope: Scope, allowed: bool) -> None:
    assert allows([], [role.value], scope) is allowed


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("needed", list(Scope))
def test_a_scope_grants_itself_and_nothing_else(scope: Scope, needed: Scope) -> None:
    assert allows([scope.value], [], needed) is (scope is needed)


# One row a tier, one column a scope: without a signed proof of possession, and with one.
WITHOUT = {
    Tier.DORMANT: "no no no no",
    Tier.WEAK: "yes yes no no",
    Tier.NORMAL: "yes yes yes yes",
    Tier.STRONG: "yes yes yes yes",
}
WITH = {**WITHOUT, Tier.DORMANT: "yes yes no no"}


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("granted_scopes", [frozenset(Scope), frozenset({Scope.USAGE_READ})])
def test_a_tier_leaves_what_its_cells_say_of_what_was_granted(
    tier: Tier, granted_scopes: frozenset[Scope]
) -> None:
    scopes = frozenset(map(str, granted_scopes))
    for left, table in ((left_by, WITHOUT), (left_with_proof, WITH)):
        words = zip(Scope, table[tier].split(), strict=True)
        assert left(tier, scopes) == scopes & {str(scope) for scope, word in words if word == "yes"}


def test_the_tier_tables_have_every_tier() -> None:
    assert set(WITHOUT) == set(WITH) == set(Tier)


@given(st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)))
def test_what_nobody_knows_grants_nothing(scopes: list[str], roles: list[str]) -> None:
    scopes = [scope for scope in scopes if scope not in set(Scope)]
    roles = [role for role in roles if role not in set(Role)]
    assert granted(scopes, roles) == frozenset()


@pytest.mark.parametrize("text", ["Inference", "inference ", "INFERENCE", "*", "", "role:manager"])
def test_spellings_of_a_scope_are_no_scope(text: str) -> None:
    assert granted([text], [text]) == frozenset()
