"""Requests that are signed: Ed25519 HTTP Message Signatures (RFC 9421) of target and body.

A bearer secret proves itself by being shown, so whoever sees it once has it. A signed request shows
nothing reusable: the server keeps public keys only, and every signature covers what is asked
(method, authority, path, query), the digest of the body (RFC 9530), when it was made and a nonce.

Rules kept here: one signature a request, ours by its tag; every component of `COVERED` is signed;
a signature lives `LIFETIME_SECONDS`, by the verifier's clock; the algorithm is Ed25519, whatever
the request claims. Left to the caller: remembering nonces (`Verified.remember_until` says how long)
and what a key may do. Canonicalisation is the library's; no clock and no randomness here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from trust.errors import SignatureRefused

TAG = "federation"
LABEL = "fed"
COVERED = ("@method", "@authority", "@path", "@query", "content-digest")
LIFETIME_SECONDS = 60
CLOCK_SKEW_SECONDS = 5
MAX_NONCE = 64
MIN_NONCE = 16
MAX_HEADER = 2048
HEADERS = ("signature", "signature-input", "content-digest")


@dataclass
class Request:
    """A request as its signature sees it: absolute `url`, header fields, the body's exact bytes."""

    method: str
    url: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verified:
    """Who signed, and what the caller must remember so that it is not accepted twice."""

    key_id: str
    nonce: str
    created: datetime
    remember_until: datetime


def sign(
    request: Request, key_id: str, key: Ed25519PrivateKey, nonce: str, now: datetime
) -> dict[str, str]:
    """The header fields that make `request` a signed one.

    `nonce`: 16 to 64 characters that this key never used before (32 random hexadecimal digits do).
    Raises SignatureRefused for a request that cannot be signed (a relative URL, a bad nonce).
    """
    _check_nonce(nonce)
    message = Request(request.method, request.url, request.body)
    try:
        HTTPMessageSigner(
            signature_algorithm=algorithms.ED25519,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: key}),
        ).sign(
            message,
            key_id=key_id,
            created=now,
            expires=now + timedelta(seconds=LIFETIME_SECONDS),
            nonce=nonce,
            label=LABEL,
            tag=TAG,
            covered_component_ids=COVERED,
            body=request.body,
        )
    except (HTTPMessageSignaturesException, ValueError) as error:
        raise SignatureRefused(f"the request cannot be signed: {error}") from error
    return dict(message.headers)


def verify(request: Request, keys: Mapping[str, Ed25519PublicKey], now: datetime) -> Verified:
    """Who signed the request; raises SignatureRefused, saying what is wrong and never why exactly
    a key failed. `keys` are the public keys that count, by id. A replay is not seen here.
    """
    message = Request(request.method, request.url, request.body, _only_ours(request.headers))
    verifier = _Verifier(keys, now)
    try:
        results = verifier.verify(
            message,
            max_age=timedelta(seconds=LIFETIME_SECONDS),
            expect_tag=TAG,
            require_components=COVERED,
            body=request.body,
        )
    except (HTTPMessageSignaturesException, ValueError) as error:
        raise SignatureRefused("the request's signature is missing, wrong or too old") from error
    if len(results) != 1:
        raise SignatureRefused("the request has more than one signature of ours")
    return _verified(results[0].parameters)


class _Verifier(HTTPMessageVerifier):
    """The library's verifier with a clock that is handed in."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey], now: datetime) -> None:
        super().__init__(
            signature_algorithm=algorithms.ED25519,
            key_resolver=MappingKeyResolver(public_keys=dict(keys), private_keys={}),
        )
        self._now = now

    def validate_created_and_expires(
        self, sig_input: Any, max_age: timedelta | None = None
    ) -> None:
        """RFC 9421 section 3.2.1, and stricter: both times are required, their distance bounded."""
        del max_age
        created, expires = (sig_input.params.get(name) for name in ("created", "expires"))
        if type(created) is not int or type(expires) is not int:
            raise InvalidSignature("created and expires are required")
        now, skew = self._now.timestamp(), CLOCK_SKEW_SECONDS
        if not 0 < expires - created <= LIFETIME_SECONDS:
            raise InvalidSignature("the signature claims another lifetime")
        if created > now + skew or expires < now - skew:
            raise InvalidSignature("the signature is not of this time")
        _check_nonce(sig_input.params.get("nonce"))


def _verified(parameters: Mapping[str, int | str]) -> Verified:
    created = datetime.fromtimestamp(int(parameters["created"]), UTC)
    kept = timedelta(seconds=LIFETIME_SECONDS + 2 * CLOCK_SKEW_SECONDS)
    return Verified(str(parameters["keyid"]), str(parameters["nonce"]), created, created + kept)


def _check_nonce(nonce: object) -> None:
    if not isinstance(nonce, str) or not MIN_NONCE <= len(nonce) <= MAX_NONCE:
        raise SignatureRefused(f"a nonce has {MIN_NONCE} to {MAX_NONCE} characters")


def _only_ours(headers: Mapping[str, str]) -> dict[str, str]:
    """The fields a signature of ours is made of, each once and not longer than it can be."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if lowered not in HEADERS:
            continue
        if lowered in found or len(value) > MAX_HEADER:
            raise SignatureRefused(f"{lowered} is there twice, or too long")
        found[lowered] = value
    return found


def joined(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Header fields as a server received them, one value a name (RFC 9110 section 5.3)."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value.strip(" \t"))
    return {name: ", ".join(found) for name, found in values.items()}
