"""Whether a key works at a moment: pure, half-open at its end."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.keys import Verifier

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def verifier(**changes: object) -> Verifier:
    fields: dict[str, object] = {
        "id": "0123456789a",
        "name": "x",
        "digest": b"never shown" * 3,
        "pepper_version": 1,
        "scopes": frozenset({"chat"}),
        "models": None,
        "expires_at": None,
        "revoked_at": None,
    }
    return Verifier(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires_at": NOW + SECOND}, "active"),
        ({"expires_at": NOW}, "expired"),
        ({"revoked_at": NOW - SECOND}, "revoked"),
        ({"revoked_at": NOW + SECOND}, "revoked"),  # a clock that is behind opens nothing
        ({"revoked_at": NOW, "expires_at": NOW}, "revoked"),
    ],
)
def test_the_state_of_a_key(changes: dict[str, object], state: str) -> None:
    assert verifier(**changes).state(NOW) == state


def test_an_empty_list_of_models_is_not_every_model() -> None:
    assert verifier().may_use("m")
    assert verifier(models=frozenset({"m"})).may_use("m")
    assert not verifier(models=frozenset({"m"})).may_use("M")
    assert not verifier(models=frozenset()).may_use("m")


def test_the_digest_is_not_shown() -> None:
    assert "never shown" not in repr(verifier())
