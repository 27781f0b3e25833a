"""Keep or issue: every reason a certificate is replaced, and none when it is well."""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from trust.authority import Authority
from trust.certificate import decide, describe
from trust.errors import CertificateUnreadable

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
NAMES = ("anode", "anode.test.internal", "localhost")
ADDRESSES = (IPv4Address("10.9.8.7"), IPv4Address("127.0.0.1"))


def csr() -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority") / "ca"
    return Authority.create(folder, "test authority", NOW - timedelta(days=400))


@pytest.fixture(scope="module")
def cert(authority: Authority) -> bytes:
    return authority.sign(csr(), NAMES, ADDRESSES, NOW)


def test_a_fresh_certificate_is_kept_with_the_date_of_its_renewal(
    authority: Authority, cert: bytes
) -> None:
    decision = decide(cert, authority.ca_pem, NAMES, ADDRESSES, NOW)
    assert decision.kind == "keep"
    assert decision.not_after == NOW + timedelta(days=30)
    assert decision.reason == (
        "valid until 2026-06-03 03:02 UTC, to be renewed on 2026-05-19 02:59 UTC"
    )


def test_order_of_the_other_names_and_of_addresses_does_not_matter(
    authority: Authority, cert: bytes
) -> None:
    names = (NAMES[0], *reversed(NAMES[1:]))
    assert decide(cert, authority.ca_pem, names, ADDRESSES[::-1], NOW).kind == "keep"


REASONS = {
    "missing": (None, NAMES, ADDRESSES, NOW, "there is no certificate yet"),
    "empty": (b"", NAMES, ADDRESSES, NOW, "there is no certificate yet"),
    "unreadable": (b"noise", NAMES, ADDRESSES, NOW, "cannot be read"),
    "another node's": ("own", ("bnode",), ADDRESSES, NOW, "issued to anode, this is bnode"),
    "a name more": ("own", (*NAMES, "extra"), ADDRESSES, NOW, "names changed: .* became .*extra"),
    "a name less": ("own", NAMES[:2], ADDRESSES, NOW, "names changed"),
    "moved": ("own", NAMES, ADDRESSES[1:], NOW, "addresses changed: 10.9.8.7, 127.0.0.1 became"),
    "not yet valid": ("own", NAMES, ADDRESSES, NOW - timedelta(hours=1), "not valid before"),
    "half": ("own", NAMES, ADDRESSES, NOW + timedelta(days=15), "past half of its life"),
    "expired": ("own", NAMES, ADDRESSES, NOW + timedelta(days=30), "expired on 2026-06-03"),
}


@pytest.mark.parametrize("case", REASONS)
def test_it_is_issued_anew_when(authority: Authority, cert: bytes, case: str) -> None:
    held, names, addresses, now, reason = REASONS[case]
    shown = cert if held == "own" else held
    decision = decide(shown, authority.ca_pem, names, addresses, now)  # type: ignore[arg-type]
    assert decision.kind == "issue"
    assert re.search(reason, decision.reason), decision.reason


def test_an_authority_of_the_same_name_is_another_authority(
    tmp_path: Path, authority: Authority, cert: bytes
) -> None:
    impostor = Authority.create(tmp_path / "ca", "test authority", NOW)
    decision = decide(cert, impostor.ca_pem, NAMES, ADDRESSES, NOW)
    assert decision.kind == "issue"
    assert "another authority" in decision.reason


def test_a_clients_certificate_is_judged_by_issuer_and_dates_only(authority: Authority) -> None:
    held = authority.issue_client("operator", NOW)[1]
    assert decide(held, authority.ca_pem, (), (), NOW).kind == "keep"
    assert decide(held, authority.ca_pem, (), (), NOW + timedelta(days=16)).kind == "issue"


def test_an_unreadable_authority_is_an_error_not_a_decision(cert: bytes) -> None:
    with pytest.raises(CertificateUnreadable):
        decide(cert, b"noise", NAMES, ADDRESSES, NOW)


def test_describe_tells_what_is_in_it(cert: bytes) -> None:
    facts = describe(cert)
    assert (facts.common_name, facts.issuer) == ("anode", "test authority")
    assert (facts.names, facts.addresses) == (NAMES, ADDRESSES)
    assert facts.not_before < facts.renew_at < facts.not_after
    with pytest.raises(CertificateUnreadable):
        describe(b"")


@given(minutes=st.integers(-60 * 24 * 60, 60 * 24 * 60))
def test_it_is_kept_exactly_in_the_first_half_of_its_life(
    authority: Authority, cert: bytes, minutes: int
) -> None:
    facts = describe(cert)
    now = NOW + timedelta(minutes=minutes)
    decision = decide(cert, authority.ca_pem, NAMES, ADDRESSES, now)
    assert (decision.kind == "keep") == (facts.not_before <= now < facts.renew_at)


@given(noise=st.binary(max_size=300), cut=st.integers(0, 2000))
def test_damaged_certificates_never_raise(
    authority: Authority, cert: bytes, noise: bytes, cut: int
) -> None:
    for damaged in (noise, cert[:cut] + noise, cert[:cut] + noise + cert[cut:]):
        decision = decide(damaged, authority.ca_pem, NAMES, ADDRESSES, NOW)
        assert decision.kind in ("keep", "issue")
