"""The operator's private certificate authority: one folder with `ca.pem` and `issued.jsonl`.

`ca.pem` is what everybody trusts: this authority's certificate, and after it the one it succeeds or
that will succeed it (see `trust.succession`).

What it keeps: where the private key is kept is the caller's to say (`ca.key` beside the rest, mode
0600, refused once others can read it; or the operator's encrypted store); a
creation cut short is completed by the next one; every certificate is in the issue log, durably,
before anybody gets it. Several processes may sign at once. What certificates hold is `signing`'s.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trust import certificate, files, signing
from trust.authority_keys import Keeper, parse_keys, read_keys, write_keys
from trust.errors import AuthorityBroken, AuthorityExists, AuthorityMissing, NamesRefused
from trust.signing import LEAF_LIFETIME, Leaf, Permitted

KEY, CERTIFICATE, LOG, LOCK = "ca.key", "ca.pem", "issued.jsonl", ".lock"
# Services know the operator by this common name, others by it and a name of theirs
# (`operator.NAME`): no machine may be certified under it.
OPERATOR = "operator"


@dataclass(frozen=True)
class Authority:
    """An opened authority. Its private key stays out of `repr`; `others` are trusted beside it."""

    folder: Path
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        now: datetime,
        permitted: Permitted | None = None,
        keeper: Keeper | None = None,
    ) -> Self:
        """The authority called `name` in `folder`, made when it is not there yet.

        A complete one is returned as it is; a key without a certificate (a creation cut short)
        gets its certificate. Raises AuthorityExists for one of another name, AuthorityBroken for a
        certificate whose key is lost: silently replacing it would cut off every node.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keeper = keeper or files.PlainKey(folder / KEY)
        with files.locked(folder / LOCK):
            if (folder / CERTIFICATE).exists():
                found = cls.open(folder, keeper)
                if found.name != name:
                    raise AuthorityExists(
                        f"{folder} holds the authority {found.name!r}, not {name!r}"
                    )
                return found
            try:
                [key, *more] = parse_keys(keeper.read(), keeper)
            except FileNotFoundError:
                key, more = ec.generate_private_key(ec.SECP256R1()), []
                write_keys(keeper, [key])
            if more:
                raise AuthorityBroken(
                    f"{folder / CERTIFICATE} is lost while one authority succeeds another: restore "
                    "it from the operator's backup, or from a node's /etc/federation/tls/ca.pem"
                )
            made = signing.authority_certificate(
                key, name, permitted or Permitted(), now, x509.random_serial_number()
            )
            files.write(folder / CERTIFICATE, signing.pem(made), 0o644)
        return cls.open(folder, keeper)

    @classmethod
    def open(cls, folder: Path, keeper: Keeper | None = None) -> Self:
        """The authority in `folder`, its key where `keeper` has it (default: `ca.key` there).

        Raises AuthorityMissing, AuthorityBroken, KeyExposed when its key's mode lets others in, or
        what the keeper raises.
        """
        keeper = keeper or files.PlainKey(folder / KEY)
        try:
            ca_pem = (folder / CERTIFICATE).read_bytes()
        except FileNotFoundError as error:
            raise AuthorityMissing(f"there is no authority in {folder}") from error
        try:
            own, *others = x509.load_pem_x509_certificates(ca_pem)
        except ValueError as error:
            raise AuthorityBroken(f"{folder / CERTIFICATE} is no certificate: {error}") from error
        for key in read_keys(keeper):
            if key.public_key() == own.public_key():
                return cls(folder, own, tuple(others), key)
        raise AuthorityBroken(f"{keeper} is not the key of {folder / CERTIFICATE}")

    @property
    def name(self) -> str:
        """The authority's common name."""
        return signing.common_names(self.certificate.subject)[0]

    @property
    def ca_pem(self) -> bytes:
        """What everybody trusts, and may have: this authority first, then any other."""
        return b"".join(map(signing.pem, (self.certificate, *self.others)))

    def sign(
        self,
        csr_pem: bytes,
        names: Sequence[str],
        addresses: Sequence[IPv4Address],
        now: datetime,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> bytes:
        """A certificate (PEM) for the key in `csr_pem`; the first of `names` is its common name.

        Names and addresses are the inventory's. Whatever the request asks for is ignored: a node
        that has been taken over must not be able to name itself. Raises RequestRefused.
        """
        key = signing.public_key_of(csr_pem)
        leaf = Leaf(names[0] if names else "", tuple(names), tuple(addresses))
        if leaf.common_name.partition(".")[0] == OPERATOR:
            raise NamesRefused(f"{OPERATOR} is a person's name here: call the node something else")
        return self._issue(key, leaf, now, lifetime)

    def issue_client(
        self, common_name: str, now: datetime, lifetime: timedelta = LEAF_LIFETIME
    ) -> tuple[bytes, bytes]:
        """A fresh key and a client-only certificate for it (both PEM), for a person or a tool."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = Leaf(common_name, server=False)
        return signing.key_pem(key), self._issue(key.public_key(), leaf, now, lifetime)

    def ensure_client(
        self, common_name: str, now: datetime, keeper: Keeper, *, renew: bool = False
    ) -> tuple[bytes, bytes]:
        """The key that `keeper` has and its certificate (both PEM), issued or renewed when due.

        The certificate is `<common_name>.pem` in the folder. `renew` replaces a pair that is not
        due too; its certificate stays valid until it ends.

        The pair is replaced key first; a crash in between leaves a certificate of another key,
        which the next call notices and replaces. Raises NamesRefused for what is no file name, and
        what the keeper raises.
        """
        if common_name == "ca" or not signing.DNS_NAME.fullmatch(common_name):
            raise NamesRefused(f"{common_name[:80]!r} cannot name a client's files")
        pem_path = self.folder / f"{common_name}.pem"
        with files.locked(self.folder / LOCK):
            # Asked first in any case: a plain key of an older home is taken in by being read.
            due = self._client_due(keeper, pem_path, now)
            if renew or due:
                key, cert = self.issue_client(common_name, now)
                keeper.write(key)
                files.write(pem_path, cert, 0o644)
            return keeper.read(), pem_path.read_bytes()

    def issued(self) -> Iterator[dict[str, Any]]:
        """Every certificate in the issue log, oldest first; a line torn by a crash is skipped."""
        try:
            lines = (self.folder / LOG).read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry

    def _issue(
        self, key: signing.PublicKey, leaf: Leaf, now: datetime, lifetime: timedelta
    ) -> bytes:
        serial = x509.random_serial_number()  # 159 random bits (RFC 5280 4.1.2.2)
        made = signing.leaf_certificate(
            self.certificate, self.key, key, leaf, now, lifetime, serial
        )
        encoded = signing.pem(made)
        entry = {
            "time": now.isoformat(),
            "serial": f"{serial:x}",
            "common_name": leaf.common_name,
            "names": list(leaf.names),
            "addresses": [str(address) for address in leaf.addresses],
            "not_after": made.not_valid_after_utc.isoformat(),
            "sha256": hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest(),
        }
        files.append_line(self.folder / LOG, json.dumps(entry, sort_keys=True).encode())
        return encoded

    def _client_due(self, keeper: Keeper, pem_path: Path, now: datetime) -> bool:
        try:
            [key] = read_keys(keeper)
        except AuthorityBroken:
            return True
        if not pem_path.exists():
            return True
        held = pem_path.read_bytes()
        if certificate.decide(held, self.ca_pem, (), (), now).kind == "issue":
            return True
        return x509.load_pem_x509_certificate(held).public_key() != key.public_key()
