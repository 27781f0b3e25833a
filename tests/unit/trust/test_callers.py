"""A caller that must sign: what is recorded, altered, late, early or somebody else's is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trust.callers import Callers, Signer, public_hex
from trust.errors import SignatureRefused
from trust.http_signatures import CLOCK_SKEW_SECONDS, LIFETIME_SECONDS, Verified

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)
    for n, name in enumerate(("operator", "redfin"))
}
CALLERS = Callers.of({name: public_hex(key) for name, key in KEYS.items()}, ["10.0.0.7", "::1"])
URL, BODY = "https://10.0.0.7:9106/release?x=1", b'{"key":"a/b"}'
NONCE = "0" * 32
Fields = list[tuple[str, str]]


def signed(by: str = "operator", url: str = URL, at: datetime = NOW) -> Fields:
    """A request as a server gets its fields."""
    made = Signer(by, KEYS[by], lambda: NONCE, lambda: at).headers("POST", url, BODY)
    return [("Host", url.split("/")[2]), ("Accept", "*/*"), *made.items()]


def taken(
    fields: Fields,
    caller: str = "operator",
    method: str = "POST",
    target: str = "/release?x=1",
    body: bytes = BODY,
    now: datetime = NOW,
) -> Verified | None:
    return CALLERS.verified(caller, method, target, fields, body, now)


def test_what_is_signed_is_taken_and_says_what_to_remember() -> None:
    found = taken(signed())
    assert found is not None
    assert (found.key_id, found.nonce) == ("operator", NONCE)
    assert found.remember_until >= NOW + timedelta(seconds=LIFETIME_SECONDS + CLOCK_SKEW_SECONDS)


def test_one_whose_key_is_not_known_need_not_sign() -> None:
    """And what they may is the receiver's to say; a signature of theirs proves nothing."""
    assert taken([], caller="stranger") is None
    assert taken(signed(), caller="stranger") is None


OTHER = signed(url="https://10.0.0.8:9106/release?x=1")
REFUSED: dict[str, dict[str, object]] = {
    "not signed": {"fields": [("Host", "10.0.0.7:9106")]},
    "no fields at all": {"fields": []},
    "another body": {"body": BODY + b" "},
    "no body": {"body": b""},
    "another path": {"target": "/metrics?x=1"},
    "another query": {"target": "/release?x=2"},
    "another method": {"method": "PUT"},
    "a minute late": {"now": NOW + timedelta(seconds=LIFETIME_SECONDS + CLOCK_SKEW_SECONDS + 1)},
    "of the future": {"now": NOW - timedelta(seconds=CLOCK_SKEW_SECONDS + 1)},
    "another node's, under this one's certificate": {"fields": signed("redfin")},
    "this one's, under another node's certificate": {"caller": "redfin"},
    "for another host": {"fields": OTHER},
    "for another host, told it is this one": {"fields": [("Host", "10.0.0.7:9106"), *OTHER[1:]]},
    "for another port": {"fields": [("Host", "10.0.0.7:9107"), *signed()[1:]]},
    "no host": {"fields": signed()[1:]},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_exactly_what_was_signed_is_refused(what: str) -> None:
    given: dict[str, object] = {"fields": signed(), **REFUSED[what]}
    with pytest.raises(SignatureRefused):
        taken(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest", "Host"])
@pytest.mark.parametrize("same", [True, False])
def test_a_field_that_is_there_twice_is_refused_whatever_it_says(name: str, same: bool) -> None:
    fields = signed()
    value = dict(fields)[name] if same else "fed=x"
    for place in (0, len(fields)):
        twice = [*fields[:place], (name.lower(), value), *fields[place:]]
        with pytest.raises(SignatureRefused, match="twice"):
            taken(twice)


def test_an_address_of_ip_6_is_a_host_too() -> None:
    assert taken(signed(url="https://[::1]:9106/release?x=1")) is not None


def test_a_signer_does_not_show_its_key() -> None:
    signer = Signer("operator", KEYS["operator"], lambda: NONCE, lambda: NOW)
    assert repr(signer) == "Signer('operator')"


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
def test_what_is_no_public_key_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"32|hex"):
        Callers.of({"x": text}, [])
