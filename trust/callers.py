"""Callers whose requests count only when they are signed with a key of their own (RFC 9421). Pure.

Beside mutual TLS: a TLS key is loaded by everything on its machine, a signing key by one caller and
from another place. What the signature covers (method, authority, path, query, digest of the body,
time, nonce) also binds the request to this receiver: one that another receiver got, or that was
recorded, is none here. Left to the receiver: remembering nonces, for as long as
`Verified.remember_until` says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trust.errors import SignatureRefused
from trust.http_signatures import HEADERS, Request, Verified, sign, verify


@dataclass(frozen=True)
class Signer:
    """Whom we are for a receiver (the name in our certificate), and the key we sign with."""

    name: str
    key: Ed25519PrivateKey
    nonce: Callable[[], str]
    now: Callable[[], datetime]

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The header fields for one request to the absolute `url`; a request is sent once."""
        return sign(Request(method, url, body), self.name, self.key, self.nonce(), self.now())


@dataclass(frozen=True)
class Callers:
    """The keys of those who must sign, by name, and the `hosts` this receiver answers for."""

    keys: Mapping[str, Ed25519PublicKey]
    hosts: frozenset[str]

    @classmethod
    def of(cls, public: Mapping[str, str], hosts: Sequence[str]) -> "Callers":
        """From public keys as 64 hexadecimal digits; ValueError for anything else."""
        keys = {
            name: Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            for name, text in public.items()
        }
        return cls(keys, frozenset(hosts))

    def verified(
        self,
        caller: str,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes,
        now: datetime,
    ) -> Verified | None:
        """What to remember of the request of `caller`, as TLS knows it; None if it need not sign.

        `target` is the path and query as they were sent, `fields` all header fields in any order.
        Raises SignatureRefused: not signed, not by this caller, altered, of another time, or to
        another host.
        """
        key = self.keys.get(caller)
        if key is None:
            return None
        given: dict[str, str] = {}
        for name, value in fields:
            lowered = name.lower()
            if lowered not in (*HEADERS, "host"):
                continue
            if lowered in given:
                raise SignatureRefused(f"{lowered} is there twice")
            given[lowered] = value
        host = given.pop("host", "")
        if host.lower().rpartition(":")[0].strip("[]") not in self.hosts:
            raise SignatureRefused("the request is for another host than this one")
        request = Request(method, f"https://{host}{target}", body, given)
        return verify(request, {caller: key}, now)


def public_hex(key: Ed25519PrivateKey) -> str:
    """The public half as receivers are given it."""
    return key.public_key().public_bytes_raw().hex()
