"""Keys against a key book held in memory: one answer, one amount of work."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretBytes

from gateway import auth
from gateway.auth import KeyringGate, source_class
from gateway.errors import LedgerAway, NotAuthenticated
from gateway.keyring import Keyring, Terms
from gateway.metrics import GatewayMetrics
from ledger.errors import Unavailable
from ledger.keys import Verifier
from trust import apikeys
from trust.apikeys import Pepper
from trust.peppers import Peppers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEPPER = Pepper(1, SecretBytes(bytes(32)))
PEPPERS = Peppers((PEPPER,), 1)
KEY = apikeys.new_key(bytes(range(40)))


def verifier(**changes: Any) -> Verifier:
    values: dict[str, Any] = {
        "id": KEY.id,
        "name": "test",
        "digest": apikeys.digest(KEY.secret, PEPPER),
        "pepper_version": 1,
        "scopes": frozenset({"inference"}),
        "models": None,
        "expires_at": None,
        "revoked_at": None,
    }
    return Verifier(**{**values, **changes})


class Book:
    """The real interface, in memory."""

    def __init__(self, *verifiers: Verifier, away: bool = False) -> None:
        self.by_id = {v.id: v for v in verifiers}
        self.away = away
        self.asked: list[str] = []

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        self.asked += key_ids
        if self.away:
            raise Unavailable("gone")
        return 1, [self.by_id[key_id] for key_id in key_ids if key_id in self.by_id]


def gate(book: Book, peppers: Peppers = PEPPERS) -> tuple[KeyringGate, GatewayMetrics]:
    metrics = GatewayMetrics(())
    keyring = Keyring(book, Terms(), time.monotonic)
    return KeyringGate(keyring, peppers, metrics, lambda: NOW, NOW.timestamp), metrics


def header(text: str) -> bytes:
    return f"Bearer {text}".encode()


def failures(metrics: GatewayMetrics, reason: str) -> float:
    value = metrics.registry.get_sample_value(
        "gateway_auth_failures_total", {"reason": reason, "source": "private"}
    )
    assert value is not None
    return value


async def test_a_working_key_gets_in() -> None:
    entrance, _ = gate(Book(verifier()))
    assert (await entrance.authenticate(header(KEY.reveal()), "10.0.0.1")).key_id == KEY.id


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": bytes(32)}, "wrong_secret"),
        ({"pepper_version": 2}, "wrong_secret"),
        ({"expires_at": NOW}, "expired"),
        ({"revoked_at": NOW - timedelta(days=1)}, "revoked"),
        ({"id": "someoneelse"}, "unknown"),
    ],
)
async def test_a_key_that_does_not_work_is_counted_by_reason(
    changes: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests: list[bool] = []
    book = Book(verifier(**changes))

    def counting(*arguments: Any) -> bytes:
        digests.append(True)
        return real(*arguments)

    real = apikeys.digest
    monkeypatch.setattr(auth.apikeys, "digest", counting)
    entrance, metrics = gate(book)
    with pytest.raises(NotAuthenticated):
        await entrance.authenticate(header(KEY.reveal()), "10.0.0.1")
    assert failures(metrics, reason) == 1
    assert len(digests) == 1


NEWER = Pepper(2, SecretBytes(bytes([2]) * 32))


@pytest.mark.parametrize("current", [1, 2])
@pytest.mark.parametrize("under", [PEPPER, NEWER])
async def test_a_key_is_checked_under_its_own_pepper_whichever_is_current(
    under: Pepper, current: int
) -> None:
    digest = apikeys.digest(KEY.secret, under)
    book = Book(verifier(digest=digest, pepper_version=under.version))
    entrance, _ = gate(book, Peppers((PEPPER, NEWER), current))
    assert (await entrance.authenticate(header(KEY.reveal()), "10.0.0.1")).key_id == KEY.id


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_a_digest_under_another_pepper_than_it_says_proves_nothing(version: int) -> None:
    """Also none that meets what a missing pepper is compared with."""
    for digest in (apikeys.digest(KEY.secret, NEWER), auth.NO_SECRET, auth.NO_DIGEST):
        book = Book(verifier(digest=digest, pepper_version=version))
        entrance, metrics = gate(book, Peppers((PEPPER, NEWER), 2))
        with pytest.raises(NotAuthenticated):
            await entrance.authenticate(header(KEY.reveal()), "10.0.0.1")
        assert failures(metrics, "wrong_secret") == 1


@pytest.mark.parametrize("text", ["", "fed_x", KEY.reveal()[:-1], KEY.reveal() + "x"])
async def test_a_malformed_key_never_reaches_the_ledger(text: str) -> None:
    book = Book(verifier())
    entrance, _ = gate(book)
    with pytest.raises(NotAuthenticated):
        await entrance.authenticate(header(text), None)
    assert book.asked == []


async def test_an_absent_ledger_is_503() -> None:
    entrance, _ = gate(Book(away=True))
    with pytest.raises(LedgerAway):
        await entrance.authenticate(header(KEY.reveal()), None)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("8.8.8.8", "public"),
        (None, "public"),
        ("nonsense", "public"),
    ],
)
def test_where_a_client_is(address: str | None, kind: str) -> None:
    assert source_class(address) == kind
