"""Step-up: what a key too weak to be believed alone may do with a signed proof of possession.

The holder signs the request (RFC 9421, see `trust.http_signatures`) with the private half of a key
that the operator registered for it; the secret alone does not do, so a stolen one that nobody used
for long is worth nothing. Signature first, nonce last: only what was signed by the holder fills the
store of nonces. Without the ledger there is no proof: nobody could say whether it is a replay.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.errors import LedgerAway, NotPermitted
from gateway.member import Member
from ledger.errors import LedgerError
from trust.errors import SignatureRefused
from trust.http_signatures import HEADERS, Request, verify
from trust.permissions import left_with_proof
from trust.strength import Misuse


class Proofs(Protocol):
    """Where public keys and nonces are; raises LedgerError, and takes bounded time."""

    async def proof_key(self, family: str) -> Ed25519PublicKey | None:
        """What the family's requests are checked with."""
        ...

    async def first_use(self, family: str, nonce: str, until: datetime) -> bool:
        """Whether nobody used this nonce before, on any gateway; it is used now."""
        ...


class StepUp:
    """Turns a signed request of a weak key's holder into what it may with a proof."""

    def __init__(
        self,
        proofs: Proofs,
        note: Callable[[str, Misuse], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._proofs, self._note, self._clock = proofs, note, clock

    @staticmethod
    def offered(member: Member, headers: Mapping[bytes, bytes], scope: str) -> bool:
        """Whether the request is signed, and a signature would make a difference."""
        signed = b"signature" in headers or b"signature-input" in headers
        return signed and scope in left_with_proof(member.tier, member.granted)

    async def prove(
        self, member: Member, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes
    ) -> Member:
        """The member with what a proof gives it; raises NotPermitted, LedgerAway."""
        family = member.family or member.key_id
        try:
            key = await self._proofs.proof_key(family)
            if key is None:
                raise _refusal("No public key is registered for this API key.")
            request = _request(method, path, headers, body)
            verified = verify(request, {member.key_id: key}, self._clock())
            new = await self._proofs.first_use(family, verified.nonce, verified.remember_until)
        except SignatureRefused as error:
            raise _refusal(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
        except LedgerError as error:
            raise LedgerAway from error
        if not new:
            self._note(member.key_id, Misuse.REPLAY)
            raise _refusal("This signed request was sent before; sign each one anew.")
        return replace(member, scopes=left_with_proof(member.tier, member.granted))


def _refusal(message: str) -> NotPermitted:
    return NotPermitted(message, code="proof_refused")


def _request(method: str, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Request:
    """The request as it was signed: to the authority that its Host names, without a query."""
    host = headers.get(b"host", b"").decode("latin-1")
    ours = {name: headers[name.encode()].decode("latin-1") for name in HEADERS
            if name.encode() in headers}  # fmt: skip
    return Request(method, f"https://{host}{path}", body, ours)
