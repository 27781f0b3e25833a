"""Build the federation's X.509 certificates (RFC 5280): the authority's own, and leaves.

Rules kept here: ECDSA P-256 authority with path length 0; names and addresses are given by the
caller and never taken from a request, only the public key is, after the request proved possession
of it; a leaf is never valid longer than its authority. Time and serial numbers come in as values.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust.errors import AuthorityExpired, NamesRefused, RequestRefused

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)
CURVES = (ec.SECP256R1, ec.SECP384R1)
MAX_REQUEST_BYTES = 64 * 1024
MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name
DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True)
class Permitted:
    """What an authority may certify (X.509 name constraints); empty means anything.

    A constrained authority that leaks cannot impersonate the rest of the world to the people who
    trust it, but a node outside of it needs a new authority.
    """

    domains: tuple[str, ...] = ()
    networks: tuple[IPv4Network, ...] = ()

    def extension(self) -> x509.NameConstraints | None:
        """The extension for the authority's certificate, or None without constraints."""
        subtrees: list[x509.GeneralName] = [x509.DNSName(domain) for domain in self.domains]
        subtrees += [x509.IPAddress(network) for network in self.networks]
        return x509.NameConstraints(subtrees, excluded_subtrees=None) if subtrees else None


@dataclass(frozen=True)
class Leaf:
    """A certificate to be: the subject's common name, its other names, and how it may be used."""

    common_name: str
    names: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()
    server: bool = True


def public_key_of(csr_pem: bytes) -> PublicKey:
    """The public key of a PEM signing request, after checking that its sender has the private one.

    Raises RequestRefused for anything else: no request, a broken signature, a weak kind of key.
    """
    if len(csr_pem) > MAX_REQUEST_BYTES:
        raise RequestRefused(f"the request has {len(csr_pem)} bytes, at most {MAX_REQUEST_BYTES}")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise RequestRefused(f"not a usable PEM signing request: {error}") from error
    if not valid:
        raise RequestRefused("the request's signature does not fit its own public key")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES):
        return key
    raise RequestRefused(
        f"the request's key is {_kind(key)}; accepted: ECDSA P-256, ECDSA P-384, Ed25519"
    )


def authority_certificate(
    key: ec.EllipticCurvePrivateKey, name: str, permitted: Permitted, now: datetime, serial: int
) -> x509.Certificate:
    """A self-signed authority called `name`, for ten years, that may sign leaves only."""
    subject = _subject(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    constraints = permitted.extension()
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(key, hashes.SHA256())


def leaf_certificate(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    public_key: PublicKey,
    leaf: Leaf,
    now: datetime,
    lifetime: timedelta,
    serial: int,
) -> x509.Certificate:
    """A certificate for `public_key`, backdated five minutes for clocks that are behind.

    Raises AuthorityExpired, NamesRefused, or RequestRefused for the authority's own public key.
    """
    if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
        raise AuthorityExpired(
            f"the authority is valid from {authority.not_valid_before_utc:%Y-%m-%d} to "
            f"{authority.not_valid_after_utc:%Y-%m-%d}, not on {now:%Y-%m-%d}: create a new one"
        )
    if lifetime <= timedelta(0):
        raise RequestRefused(f"a lifetime of {lifetime} is none")
    if public_key == authority.public_key():
        raise RequestRefused("the request carries the authority's own key")
    check_names(authority, leaf)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if leaf.server:
        usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    issuer_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(leaf.common_name))
        .issuer_name(authority.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(max(now - CLOCK_SKEW, authority.not_valid_before_utc))
        .not_valid_after(min(now + lifetime, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
            critical=False,
        )
    )
    if leaf.names or leaf.addresses:
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in leaf.names]
        alternatives += [x509.IPAddress(address) for address in leaf.addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def check_names(authority: x509.Certificate, leaf: Leaf) -> None:
    """Raise NamesRefused unless every name is a plain lower-case DNS name `authority` may certify.

    Wildcards are refused: one certificate stands for one machine.
    """
    for name in leaf.names:
        if not DNS_NAME.fullmatch(name):
            raise NamesRefused(f"{name[:80]!r} is not a lower-case DNS name")
    if not 0 < len(leaf.common_name) <= MAX_COMMON_NAME or not leaf.common_name.isprintable():
        raise NamesRefused(
            f"{leaf.common_name[:80]!r} cannot be a common name: 1 to {MAX_COMMON_NAME} characters"
        )
    permitted = permitted_by(authority)
    for name in leaf.names:
        if permitted.domains and not any(
            name == domain or name.endswith(f".{domain}") for domain in permitted.domains
        ):
            raise NamesRefused(f"{name} is outside of {', '.join(permitted.domains)}")
    for address in leaf.addresses:
        if permitted.networks and not any(address in network for network in permitted.networks):
            networks = ", ".join(str(network) for network in permitted.networks)
            raise NamesRefused(f"{address} is outside of {networks}")


def permitted_by(authority: x509.Certificate) -> Permitted:
    """The name constraints in an authority's certificate."""
    try:
        extension = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return Permitted()
    subtrees = extension.permitted_subtrees or []
    return Permitted(
        domains=tuple(tree.value for tree in subtrees if isinstance(tree, x509.DNSName)),
        networks=tuple(
            tree.value
            for tree in subtrees
            if isinstance(tree, x509.IPAddress) and isinstance(tree.value, IPv4Network)
        ),
    )


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as unencrypted PKCS #8 PEM; where it is written is the caller's care."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def common_names(name: x509.Name) -> Sequence[str]:
    """The common names of a subject or issuer."""
    return [str(part.value) for part in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _kind(key: object) -> str:
    size = getattr(key, "key_size", None)
    kind = type(key).__name__.removesuffix("PublicKey").strip("_")
    return f"{kind} {size} bits" if size else kind
