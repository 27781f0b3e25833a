"""`fedctl tenants` and limits of keys, on a ledger in memory."""

import json
from pathlib import Path

import pytest

from ledger.limits import Limits
from tests.unit.fedctl.fakes import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_tenant_is_made_with_limits_listed_and_shown(stage: Stage) -> None:
    limit = ("--limit", "tokens-per-minute=10k", "--limit", "tokens-per-day=2M")
    assert stage.fedctl("tenants", "create", "lab", "--model", "tiny", *limit) == 0
    assert stage.ledger.limits["tenant:lab"] == Limits(
        tokens_per_minute=10_000, tokens_per_day=2_000_000
    )
    assert stage.fedctl("tenants", "list", "--json") == 0
    listed = {entry["name"]: entry for entry in json.loads(stage.out.getvalue())}
    assert set(listed) == {"default", "lab"}
    assert (listed["lab"]["models"], listed["lab"]["limits"]["tokens_per_day"]) == (
        ["tiny"],
        2_000_000,
    )
    assert stage.fedctl("tenants", "show", "lab", "--json") == 0
    assert json.loads(stage.out.getvalue())["used"][0]["used"] == 7
    assert stage.fedctl("tenants", "create", "lab") == 1
    assert stage.fedctl("tenants", "show", "nobody") == 1
    assert "fedctl tenants list" in stage.err.getvalue()


def test_each_change_of_limits_is_an_event_with_what_was_before(stage: Stage) -> None:
    assert stage.fedctl("tenants", "limits", "default", "--limit", "concurrent-requests=4") == 0
    assert stage.fedctl("tenants", "limits", "default", "--limit", "concurrent-requests=none") == 0
    first, second = stage.ledger.events
    assert (first.kind, first.data["limits"]["concurrent_requests"]) == (
        "fedctl.tenants.limits",
        4,
    )
    assert second.data["before"]["concurrent_requests"] == 4
    assert stage.ledger.limits["tenant:default"] == Limits()


def test_a_key_is_issued_into_a_tenant_with_roles_and_limits(stage: Stage) -> None:
    assert stage.fedctl("tenants", "create", "lab") == 0
    arguments = ("--tenant", "lab", "--role", "user", "--limit", "requests-per-minute=60")
    assert stage.fedctl("keys", "issue", "ada", *arguments, "--json") == 0
    made = json.loads(stage.out.getvalue())
    assert (made["tenant"], made["roles"], made["scopes"]) == ("lab", ["user"], [])
    assert stage.ledger.limits[f"key:{made['id']}"] == Limits(requests_per_minute=60)
    event = stage.ledger.events[-1]
    assert event.data["limits"]["requests_per_minute"] == 60 and event.data["tenant"] == "lab"
    assert stage.fedctl("keys", "list", "--tenant", "lab", "--json") == 0
    assert [entry["name"] for entry in json.loads(stage.out.getvalue())] == ["ada"]
    assert stage.fedctl("keys", "list", "--tenant", "default", "--json") == 0
    assert json.loads(stage.out.getvalue()) == []
    assert stage.fedctl("keys", "limits", made["id"], "--limit", "tokens-per-month=5M") == 0
    assert stage.ledger.limits[f"key:{made['id']}"] == Limits(60, None, None, None, 5_000_000)
    assert stage.fedctl("keys", "limits", made["id"]) == 0
    assert "5000000" in stage.out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "tokens=5"),
        ("--limit", "tokens-per-minute"),
        ("--limit", "tokens-per-minute=-1"),
        ("--limit", "tokens-per-minute=1e3"),
        ("--limit", "tokens-per-minute=9999999999999"),
        ("--limit", "tokens-per-minute=999999999999M"),
        ("--role", "king"),
        ("--role", "auditor"),
        ("--scope", "keys:read"),
        ("--scope", "everything"),
    ],
)
def test_what_is_no_limit_role_or_scope_is_refused(
    stage: Stage, arguments: tuple[str, ...]
) -> None:
    assert stage.fedctl("keys", "issue", "ada", *arguments) == 2
    assert not stage.ledger.records


def test_nobody_gets_limits_or_keys_of_a_tenant_that_is_not_there(stage: Stage) -> None:
    assert stage.fedctl("keys", "issue", "ada", "--tenant", "nobody") == 1
    assert stage.fedctl("keys", "limits", "0" * 11, "--limit", "tokens-per-day=1") == 1
    assert stage.fedctl("tenants", "limits", "nobody", "--limit", "tokens-per-day=1") == 1
    assert not stage.ledger.limits
