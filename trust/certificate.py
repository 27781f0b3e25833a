"""Whether a node's certificate may stay: a pure decision, with the reason people will read.

A certificate is renewed at half of its life, so that a renewal may fail every day for a fortnight
before anybody is cut off.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from trust.errors import CertificateUnreadable
from trust.signing import common_names


@dataclass(frozen=True)
class CertificateFacts:
    """What a certificate says. Times are UTC; `serial` is hexadecimal, `sha256` of the DER."""

    common_name: str
    issuer: str
    names: tuple[str, ...]
    addresses: tuple[IPv4Address, ...]
    not_before: datetime
    not_after: datetime
    serial: str
    sha256: str

    @property
    def renew_at(self) -> datetime:
        """Half of its life."""
        return self.not_before + (self.not_after - self.not_before) / 2


@dataclass(frozen=True)
class Renewal:
    """The decision: keep what is there or issue anew. `not_after` is the present one's end."""

    kind: Literal["keep", "issue"]
    reason: str
    not_after: datetime | None


def describe(cert_pem: bytes) -> CertificateFacts:
    """What the first certificate in `cert_pem` says; raises CertificateUnreadable."""
    return _facts(_load(cert_pem))


def decide(
    cert_pem: bytes | None,
    ca_pem: bytes,
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    now: datetime,
) -> Renewal:
    """Whether the certificate still serves a machine with these names and addresses at `now`.

    `names` starts with the common name; without names (a client's certificate) only issuer and
    dates count. Order does not matter otherwise. Raises CertificateUnreadable only for `ca_pem`.
    """
    authority = _load(ca_pem)
    if not cert_pem:
        return Renewal("issue", "there is no certificate yet", None)
    try:
        held = _load(cert_pem)
        facts = _facts(held)
    except CertificateUnreadable as error:
        return Renewal("issue", f"the certificate cannot be read ({error})", None)
    reason = _fault(held, facts, authority, names, addresses, now)
    if reason is not None:
        return Renewal("issue", reason, facts.not_after)
    kept = f"valid until {_day(facts.not_after)}, to be renewed on {_day(facts.renew_at)}"
    return Renewal("keep", kept, facts.not_after)


def _fault(
    held: x509.Certificate,
    facts: CertificateFacts,
    authority: x509.Certificate,
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    now: datetime,
) -> str | None:
    if not _issued_by(held, authority):
        return f"it was issued by another authority ({facts.issuer or 'nameless'})"
    if names and facts.common_name != names[0]:
        return f"it was issued to {facts.common_name}, this is {names[0]}"
    if names and set(facts.names) != set(names):
        return f"names changed: {_list(facts.names)} became {_list(names)}"
    if names and set(facts.addresses) != set(addresses):
        return f"addresses changed: {_list(facts.addresses)} became {_list(addresses)}"
    if now < facts.not_before:
        return f"it is not valid before {_day(facts.not_before)}"
    if now >= facts.not_after:
        return f"it expired on {_day(facts.not_after)}"
    if now >= facts.renew_at:
        return f"past half of its life; it expires on {_day(facts.not_after)}"
    return None


def _issued_by(held: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        held.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _load(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateUnreadable(str(error)) from error


def _facts(held: x509.Certificate) -> CertificateFacts:
    try:
        names, addresses = _alternatives(held)
        subject, issuer = common_names(held.subject), common_names(held.issuer)
        encoded = held.public_bytes(serialization.Encoding.DER)
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        raise CertificateUnreadable(str(error)) from error
    return CertificateFacts(
        common_name=subject[0] if subject else "",
        issuer=issuer[0] if issuer else "",
        names=names,
        addresses=addresses,
        not_before=held.not_valid_before_utc,
        not_after=held.not_valid_after_utc,
        serial=f"{held.serial_number:x}",
        sha256=hashlib.sha256(encoded).hexdigest(),
    )


def _alternatives(held: x509.Certificate) -> tuple[tuple[str, ...], tuple[IPv4Address, ...]]:
    try:
        found = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (
        tuple(found.get_values_for_type(x509.DNSName)),
        tuple(address for address in addresses if isinstance(address, IPv4Address)),
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _list(values: Sequence[object]) -> str:
    return ", ".join(sorted(str(value) for value in values)) or "none"
