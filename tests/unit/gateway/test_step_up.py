"""gateway/step_up.py: who proves possession is served, and nothing else is, whatever is missing."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import LedgerAway, NotPermitted
from gateway.member import Member
from gateway.step_up import StepUp
from ledger.errors import LedgerError, OutcomeUnknown, Unavailable
from trust.http_signatures import Request, sign
from trust.strength import Misuse
from trust.tiers import Tier

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
GRANTED = frozenset({"inference", "usage:read"})
MEMBER = Member(
    "0123456789a", "default", frozenset(), None, granted=GRANTED, tier=Tier.DORMANT, family="first"
)
PATH, BODY = "/v1/chat/completions", b'{"model": "m"}'


@dataclass
class MemoryProofs:
    """Public keys and nonces in memory, or a ledger that fails at one of the two."""

    keys: dict[str, Ed25519PublicKey] = field(default_factory=lambda: {"first": KEY.public_key()})
    used: set[tuple[str, str]] = field(default_factory=set)
    key_error: LedgerError | None = None
    nonce_error: LedgerError | None = None

    async def proof_key(self, family: str) -> Ed25519PublicKey | None:
        if self.key_error:
            raise self.key_error
        return self.keys.get(family)

    async def first_use(self, family: str, nonce: str, until: datetime) -> bool:
        if self.nonce_error:
            raise self.nonce_error
        assert NOW < until <= NOW + timedelta(minutes=10)
        new = (family, nonce) not in self.used
        self.used.add((family, nonce))
        return new


@dataclass
class Bench:
    """A StepUp with what it is given."""

    proofs: MemoryProofs = field(default_factory=MemoryProofs)
    now: datetime = NOW
    noted: list[tuple[str, Misuse]] = field(default_factory=list)

    async def prove(self, headers: dict[bytes, bytes], **changes: object) -> Member:
        asked = {"method": "POST", "path": PATH, "body": BODY, **changes}
        step_up = StepUp(self.proofs, lambda key, kind: self.noted.append((key, kind)), self.clock)
        return await step_up.prove(MEMBER, headers=headers, **asked)  # type: ignore[arg-type]

    def clock(self) -> datetime:
        return self.now


def signed(
    key: Ed25519PrivateKey = KEY, key_id: str = MEMBER.key_id, at: datetime = NOW
) -> dict[bytes, bytes]:
    """The header fields of a request as the parser gives them: names in lower case."""
    request = Request("POST", f"https://gateway.example:8443{PATH}", BODY)
    fields = sign(request, key_id, key, secrets.token_hex(16), at)
    found = {name.lower().encode(): value.encode() for name, value in fields.items()}
    return {b"host": b"gateway.example:8443", **found}


async def test_a_proof_gives_the_basic_scopes_and_no_more() -> None:
    proved = await Bench().prove(signed())
    assert proved.scopes == {"inference"} and proved.granted == GRANTED
    assert (proved.tier, proved.limits) == (MEMBER.tier, MEMBER.limits)


async def test_a_second_time_is_refused_and_counts_against_the_key() -> None:
    bench, headers = Bench(), signed()
    await bench.prove(headers)
    with pytest.raises(NotPermitted, match="sent before") as caught:
        await bench.prove(headers)
    assert caught.value.code == "proof_refused"
    assert bench.noted == [(MEMBER.key_id, Misuse.REPLAY)]


WRONG: dict[str, Callable[[], tuple[dict[bytes, bytes], dict[str, object]]]] = {
    "another body": lambda: (signed(), {"body": b"{}"}),
    "another path": lambda: (signed(), {"path": "/v1/embeddings"}),
    "another method": lambda: (signed(), {"method": "GET"}),
    "another gateway": lambda: (signed() | {b"host": b"other.example"}, {}),
    "no host": lambda: ({k: v for k, v in signed().items() if k != b"host"}, {}),
    "somebody else's signature": lambda: (signed(OTHER), {}),
    "another key's id": lambda: (signed(key_id="b123456789a"), {}),
    "a minute and more ago": lambda: (signed(at=NOW - timedelta(seconds=66)), {}),
    "of the future": lambda: (signed(at=NOW + timedelta(seconds=6)), {}),
    "no digest": lambda: ({k: v for k, v in signed().items() if k != b"content-digest"}, {}),
    "noise": lambda: (signed() | {b"signature": b"fed=:AAAA:"}, {}),
    "no latin": lambda: (signed() | {b"signature": b"\xff\xfe"}, {}),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_was_not_signed_so_is_refused_and_leaves_no_trace(what: str) -> None:
    bench = Bench()
    headers, changes = WRONG[what]()
    with pytest.raises(NotPermitted) as caught:
        await bench.prove(headers, **changes)
    assert caught.value.code == "proof_refused"
    assert not bench.proofs.used and not bench.noted


async def test_without_a_registered_key_there_is_no_proof() -> None:
    bench = Bench(MemoryProofs(keys={}))
    with pytest.raises(NotPermitted, match="No public key"):
        await bench.prove(signed())


@pytest.mark.parametrize("error", [Unavailable("away"), OutcomeUnknown("who knows")])
@pytest.mark.parametrize("where", ["key_error", "nonce_error"])
async def test_without_the_ledger_nothing_is_proved(where: str, error: LedgerError) -> None:
    with pytest.raises(LedgerAway):
        await Bench(MemoryProofs(**{where: error})).prove(signed())


@pytest.mark.parametrize(
    ("tier", "granted", "headers", "offered"),
    [
        (Tier.DORMANT, {"inference"}, {b"signature": b"x"}, True),
        (Tier.DORMANT, {"inference"}, {b"signature-input": b"x"}, True),
        (Tier.DORMANT, {"inference"}, {}, False),
        (Tier.DORMANT, {"usage:read"}, {b"signature": b"x"}, False),
    ],
)
def test_only_what_a_signature_would_change_is_looked_at(
    tier: Tier, granted: set[str], headers: dict[bytes, bytes], offered: bool
) -> None:
    member = Member("0123456789a", "t", frozenset(), None, granted=frozenset(granted), tier=tier)
    assert StepUp.offered(member, headers, "inference") is offered
