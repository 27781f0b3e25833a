"""One authority succeeds another without anybody being cut off: trust first, certificates next.

`ca.pem` says whom everybody trusts, and its first certificate is whose key signs; the keeper has
the private keys, the older one first. These two files are the whole state, and each step writes one
of them at a time, so that a run cut off anywhere is in one of these states:

    alone      one certificate, one key
    begun      one certificate, two keys           the new authority has no certificate yet
    trusted    old then new certificate, both keys the old one signs, everybody may trust both
    signing    new then old certificate, both keys the new one signs
    dropping   two certificates, one key           the other's key is gone, its trust goes next

Rules: the successor signs when every node trusts both; one of the two is dropped when every node
has a certificate of the other. The caller sees to that (`fedctl.authority_rotation`), and decides
how far a run goes. A key that was dropped never comes back: it goes before the trust in it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from trust import files, signing
from trust.authority import CERTIFICATE, LOCK, Authority
from trust.authority_keys import Keeper, PrivateKey, read_keys, write_keys
from trust.errors import AuthorityBroken


class State(StrEnum):
    """How far a succession has come."""

    ALONE = "alone"
    BEGUN = "begun"
    TRUSTED = "trusted"
    SIGNING = "signing"
    DROPPING = "dropping"


@dataclass(frozen=True)
class _Held:
    certificates: tuple[x509.Certificate, ...]
    keys: tuple[PrivateKey, ...]


@dataclass(frozen=True)
class Succession:
    """The succession of the authority in `folder`, whose keys `keeper` has."""

    folder: Path
    keeper: Keeper

    def state(self) -> State:
        """How far it is; raises AuthorityMissing, AuthorityBroken."""
        return _state(self._held())

    def begin(self, now: datetime) -> None:
        """Make the successor and have it trusted: alone or begun becomes trusted."""
        with self._locked() as held:
            state = _state(held)
            if state is State.ALONE:
                new = ec.generate_private_key(ec.SECP256R1())
                held = _Held(held.certificates, (*held.keys, new))
                write_keys(self.keeper, held.keys)
            elif state is not State.BEGUN:
                raise AuthorityBroken(f"a successor is there already ({state})")
            [old], new = held.certificates, held.keys[-1]
            name, permitted = signing.common_names(old.subject)[0], signing.permitted_by(old)
            serial = x509.random_serial_number()
            made = signing.authority_certificate(new, name, permitted, now, serial)
            self._trust((old, made))

    def switch(self) -> None:
        """Have the successor sign from now on: trusted becomes signing."""
        self._swap(State.TRUSTED)

    def back(self) -> None:
        """Have the older one sign again: signing becomes trusted."""
        self._swap(State.SIGNING)

    def drop(self) -> None:
        """Keep only the one that signs: its key first, then trust in it alone."""
        with self._locked() as held:
            first = held.certificates[0]
            if len(held.keys) > 1:
                kept = [key for key in held.keys if key.public_key() == first.public_key()]
                write_keys(self.keeper, kept)
            if len(held.certificates) > 1:
                self._trust((first,))

    def _swap(self, wanted: State) -> None:
        with self._locked() as held:
            state = _state(held)
            if state is not wanted:
                raise AuthorityBroken(f"the succession is {state}, not {wanted}")
            self._trust(held.certificates[::-1])

    def _trust(self, certificates: Sequence[x509.Certificate]) -> None:
        content = b"".join(map(signing.pem, certificates))
        files.write(self.folder / CERTIFICATE, content, 0o644)

    def _held(self) -> _Held:
        opened = Authority.open(self.folder, self.keeper)
        return _Held((opened.certificate, *opened.others), read_keys(self.keeper))

    @contextmanager
    def _locked(self) -> Iterator[_Held]:
        with files.locked(self.folder / LOCK):
            yield self._held()


def _state(held: _Held) -> State:
    """What certificates and keys together mean; raises AuthorityBroken for what is none."""
    certified = [certificate.public_key() for certificate in held.certificates]
    keys = [key.public_key() for key in held.keys]
    if len(certified) <= 2 and len(keys) <= 2 and certified[0] in keys:
        if len(keys) == 1:
            return State.ALONE if len(certified) == 1 else State.DROPPING
        if len(certified) == 1 and certified == keys[:1]:
            return State.BEGUN
        if certified == keys:
            return State.TRUSTED
        if certified == keys[::-1]:
            return State.SIGNING
    raise AuthorityBroken(
        f"{len(certified)} certificates and {len(keys)} keys of the authority do not belong "
        "together: restore both from one backup of the operator's home"
    )
