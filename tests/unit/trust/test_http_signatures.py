"""Signed requests: what one accepts, and everything that must be refused."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import SignatureRefused
from trust.http_signatures import COVERED, LIFETIME_SECONDS, Request, joined, sign, verify

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
KEYS = {"redfin": KEY.public_key()}
NONCE = "0123456789abcdef0123456789abcdef"
URL = "https://gateway.lab.internal:8443/v1/keys/self?verbose=1&verbose=2"


def signed(method: str = "POST", url: str = URL, body: bytes = b'{"a":1}') -> Request:
    headers = sign(Request(method, url, body), "redfin", KEY, NONCE, NOW)
    return Request(method, url, body, headers)


def test_a_signed_request_tells_who_signed_and_what_to_remember() -> None:
    found = verify(signed(), KEYS, NOW + timedelta(seconds=3))
    assert (found.key_id, found.nonce, found.created) == ("redfin", NONCE, NOW)
    # Whoever forgets the nonce only then cannot be replayed to: the signature has died before.
    assert found.remember_until >= NOW + timedelta(seconds=LIFETIME_SECONDS + 5)


def test_a_request_without_a_body_is_signed_with_the_digest_of_nothing() -> None:
    request = signed("GET", body=b"")
    assert "content-digest" in {name.lower() for name in request.headers}
    assert verify(request, KEYS, NOW).key_id == "redfin"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("another method", {"method": "PUT"}),
        ("another host", {"url": URL.replace("gateway", "elsewhere")}),
        ("another port", {"url": URL.replace("8443", "8444")}),
        ("another path", {"url": URL.replace("self", "other")}),
        ("a longer query", {"url": URL + "&admin=1"}),
        ("another order of the query", {"url": URL.replace("1&verbose=2", "2&verbose=1")}),
        ("another body", {"body": b'{"a":2}'}),
        ("no body", {"body": b""}),
        ("a longer body", {"body": b'{"a":1} '}),
    ],
)  # fmt: skip
def test_what_was_signed_cannot_be_changed(what: str, change: dict[str, object]) -> None:
    request = signed()
    for name, value in change.items():
        setattr(request, name, value)
    with pytest.raises(SignatureRefused):
        verify(request, KEYS, NOW)


@pytest.mark.parametrize("seconds", [-3600, -6, LIFETIME_SECONDS + 6, 86_400])
def test_a_signature_is_of_its_minute_only(seconds: int) -> None:
    with pytest.raises(SignatureRefused):
        verify(signed(), KEYS, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-4, 0, LIFETIME_SECONDS + 4])
def test_clocks_may_differ_by_a_few_seconds(seconds: int) -> None:
    assert verify(signed(), KEYS, NOW + timedelta(seconds=seconds)).nonce == NONCE


def test_a_key_nobody_knows_and_a_key_of_somebody_else_are_refused_alike() -> None:
    stranger = {"redfin": Ed25519PrivateKey.generate().public_key()}
    with pytest.raises(SignatureRefused) as unknown:
        verify(signed(), {}, NOW)
    with pytest.raises(SignatureRefused) as wrong:
        verify(signed(), stranger, NOW)
    assert str(unknown.value) == str(wrong.value)


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("less covered", '"@query" ', ""),
        ("another tag", 'tag="federation"', 'tag="else"'),
        ("another algorithm", 'alg="ed25519"', 'alg="hmac-sha256"'),
        ("a later end", "expires=", "expires=9"),
        ("no nonce", f';nonce="{NONCE}"', ""),
        ("another nonce", NONCE, NONCE[::-1]),
        ("another label", "fed=", "other="),
    ],
)
def test_metadata_cannot_be_changed(what: str, old: str, new: str) -> None:
    request = signed()
    name = next(name for name in request.headers if name.lower() == "signature-input")
    assert old in request.headers[name], what
    request.headers[name] = request.headers[name].replace(old, new)
    with pytest.raises(SignatureRefused):
        verify(request, KEYS, NOW)


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest"])
def test_every_field_is_required_once_and_of_bounded_length(name: str) -> None:
    request = signed()
    present = {key.lower(): value for key, value in request.headers.items()}
    without = {key: value for key, value in present.items() if key != name}
    for headers in (
        without,
        {**without, name: ""},
        {**present, name.title(): present[name], name: present[name]},
        {**present, name: present[name] + " " * 3000},
        {**present, name: present[name] + ", " + present[name]},
    ):
        with pytest.raises(SignatureRefused):
            verify(Request(request.method, request.url, request.body, headers), KEYS, NOW)


@given(st.integers(0, 63), st.integers(0, 7))
def test_every_flipped_bit_of_a_signature_is_noticed(byte: int, bit: int) -> None:
    request = signed()
    name = next(name for name in request.headers if name.lower() == "signature")
    raw = bytearray(base64.b64decode(request.headers[name].split(":")[1]))
    raw[byte] ^= 1 << bit
    request.headers[name] = f"fed=:{base64.b64encode(raw).decode()}:"
    with pytest.raises(SignatureRefused):
        verify(request, KEYS, NOW)


@given(
    st.dictionaries(st.sampled_from(["Signature", "signature-input", "Content-Digest"]), st.text())
)
def test_hostile_headers_are_refused_and_nothing_else(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused):
        verify(Request("POST", URL, b"", headers), KEYS, NOW)


@pytest.mark.parametrize("nonce", ["", "short", "x" * 65])
def test_a_nonce_of_another_length_is_not_signed(nonce: str) -> None:
    with pytest.raises(SignatureRefused):
        sign(Request("GET", URL), "redfin", KEY, nonce, NOW)


def test_a_relative_address_cannot_be_signed() -> None:
    with pytest.raises(SignatureRefused):
        sign(Request("GET", "/v1/models"), "redfin", KEY, NONCE, NOW)


def test_fields_that_came_twice_are_one_list() -> None:
    assert joined([("A", " 1 "), ("a", "2\t"), ("B", "3")]) == {"a": "1, 2", "b": "3"}


def test_the_example_of_rfc_9421_b_2_6_verifies_with_the_algorithm_we_use() -> None:
    # Public values of RFC 9421, appendices B.1.4, B.2 and B.2.6.
    raw = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
    key = Ed25519PublicKey.from_public_bytes(raw)
    request = Request(
        "POST",
        "https://example.com/foo?param=Value&Pet=dog",
        b'{"hello": "world"}',
        {
            "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "Content-Type": "application/json",
            "Content-Length": "18",
            "Signature-Input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" '
            '"content-length");created=1618884473;keyid="test-key-ed25519"',
            "Signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgw"
            "UPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        },
    )  # fmt: skip
    resolver = MappingKeyResolver(public_keys={"test-key-ed25519": key}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    assert verifier.verify(request, max_age=None)[0].parameters["keyid"] == "test-key-ed25519"
    request.headers["Date"] = "Tue, 20 Apr 2021 02:07:56 GMT"
    with pytest.raises(InvalidSignature):
        verifier.verify(request, max_age=None)
    with pytest.raises(SignatureRefused):  # ours asks for more than the example covers
        verify(request, {"test-key-ed25519": key}, datetime(2021, 4, 20, 2, 7, 55, tzinfo=UTC))
    assert "date" not in COVERED
