"""The authority's folder and what it signs: openssl and Python's own TLS are the judges."""

import json
import multiprocessing
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust import files
from trust.authority import Authority
from trust.errors import (
    AuthorityBroken,
    AuthorityExists,
    AuthorityExpired,
    AuthorityMissing,
    KeyExposed,
    NamesRefused,
    RequestRefused,
)
from trust.signing import Permitted

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
NAMES = ("anode", "anode.test.internal", "localhost")
ADDRESSES = (IPv4Address("10.9.8.7"), IPv4Address("127.0.0.1"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", "test authority", NOW)


def request(key: object = None, names: tuple[str, ...] = ()) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever")])
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def openssl_verify(
    authority: Authority, cert: bytes, tmp_path: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "leaf.pem").write_bytes(cert)
    moment = str(int(NOW.timestamp()))
    files_given = ("-CAfile", str(authority.folder / "ca.pem"), str(tmp_path / "leaf.pem"))
    return subprocess.run(
        ["openssl", "verify", "-x509_strict", "-attime", moment, *options, *files_given],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_authority_is_p256_for_ten_years_and_signs_leaves_only(authority: Authority) -> None:
    own = authority.certificate
    assert isinstance(own.public_key(), ec.EllipticCurvePublicKey)
    assert own.public_key().curve.name == "secp256r1"
    constraints = own.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert own.not_valid_after_utc - NOW == timedelta(days=3650)


def test_the_key_is_private_and_never_shown(authority: Authority) -> None:
    assert (authority.folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert authority.folder.stat().st_mode & 0o777 == 0o700
    assert "key=" not in repr(authority)


def test_openssl_accepts_a_leaf_as_server_and_as_client(
    authority: Authority, tmp_path: Path
) -> None:
    cert = authority.sign(request(), NAMES, ADDRESSES, NOW)
    for purpose in ("sslserver", "sslclient"):
        for identity in (["-verify_hostname", NAMES[1]], ["-verify_ip", "10.9.8.7"]):
            result = openssl_verify(authority, cert, tmp_path, "-purpose", purpose, *identity)
            assert result.returncode == 0, result.stderr
    wrong = openssl_verify(authority, cert, tmp_path, "-verify_hostname", "other.test.internal")
    assert wrong.returncode != 0


def test_a_leaf_lasts_thirty_days_and_starts_five_minutes_ago(authority: Authority) -> None:
    leaf = x509.load_pem_x509_certificate(authority.sign(request(), NAMES, ADDRESSES, NOW))
    assert leaf.not_valid_after_utc == NOW + timedelta(days=30)
    assert leaf.not_valid_before_utc < NOW  # clocks that are behind still accept it
    assert 100 < leaf.serial_number.bit_length() <= 159


def test_names_in_the_request_are_ignored(authority: Authority) -> None:
    csr = request(names=("gateway.elsewhere", "admin"))
    leaf = x509.load_pem_x509_certificate(authority.sign(csr, NAMES, ADDRESSES, NOW))
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(found.get_values_for_type(x509.DNSName)) == NAMES
    assert tuple(found.get_values_for_type(x509.IPAddress)) == ADDRESSES
    assert leaf.subject.rfc4514_string() == f"CN={NAMES[0]}"


def test_a_leaf_cannot_sign_another(authority: Authority, tmp_path: Path) -> None:
    leaf = x509.load_pem_x509_certificate(authority.sign(request(), NAMES, ADDRESSES, NOW))
    basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert not basic.value.ca


def test_a_leaf_never_outlives_its_authority(authority: Authority) -> None:
    late = authority.certificate.not_valid_after_utc - timedelta(days=3)
    leaf = x509.load_pem_x509_certificate(authority.sign(request(), NAMES, ADDRESSES, late))
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(AuthorityExpired, match="create a new one"):
        authority.sign(request(), NAMES, ADDRESSES, late + timedelta(days=3))


def test_a_clients_certificate_is_no_servers(authority: Authority, tmp_path: Path) -> None:
    key, cert = authority.issue_client("operator", NOW)
    assert openssl_verify(authority, cert, tmp_path, "-purpose", "sslclient").returncode == 0
    assert openssl_verify(authority, cert, tmp_path, "-purpose", "sslserver").returncode != 0
    usage = x509.load_pem_x509_certificate(cert).extensions.get_extension_for_class(
        x509.ExtendedKeyUsage
    )
    assert list(usage.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    loaded = serialization.load_pem_private_key(key, None)
    assert loaded.public_key() == x509.load_pem_x509_certificate(cert).public_key()


WEAK = {
    "RSA 1024": lambda: request(rsa.generate_private_key(65537, 1024)),  # noqa: S505
    "RSA 2048": lambda: request(rsa.generate_private_key(65537, 2048)),
    "P-224": lambda: request(ec.generate_private_key(ec.SECP224R1())),
    "secp256k1": lambda: request(ec.generate_private_key(ec.SECP256K1())),
    "nothing": lambda: b"",
    "noise": lambda: b"\x00\xff" * 40,
    "a certificate's header around noise": lambda: (
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    ),
    "a megabyte": lambda: b"-----BEGIN" * 110_000,
}


@pytest.mark.parametrize("case", WEAK)
def test_weak_and_broken_requests_are_refused(authority: Authority, case: str) -> None:
    with pytest.raises(RequestRefused):
        authority.sign(WEAK[case](), NAMES, ADDRESSES, NOW)
    assert list(authority.issued()) == []


def test_a_request_with_a_foreign_public_key_is_refused(authority: Authority) -> None:
    """Somebody else's public key cannot be certified: the request's signature would not fit."""
    csr = x509.load_pem_x509_csr(request())
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = csr.public_bytes(serialization.Encoding.DER)
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    own_point = csr.public_key().public_bytes(*point)
    forged = der.replace(own_point, other.public_bytes(*point))
    forged_pem = x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestRefused, match="signature"):
        authority.sign(forged_pem, NAMES, ADDRESSES, NOW)


def test_strong_requests_are_accepted(authority: Authority) -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        assert authority.sign(request(key), NAMES, ADDRESSES, NOW)


def test_the_authoritys_own_key_gets_no_leaf(authority: Authority) -> None:
    with pytest.raises(RequestRefused, match="own key"):
        authority.sign(request(authority.key), NAMES, ADDRESSES, NOW)


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("UPPER",),
        ("a b",),
        ("*.test.internal",),
        ("a..b",),
        ("-a",),
        ("é",),
        ("a\n",),
        ("anode", "b\n"),
        ("x" * 64,),
        (".".join(["abc"] * 80),),
    ],
)
def test_names_that_are_no_host_names_are_refused(
    authority: Authority, names: tuple[str, ...]
) -> None:
    with pytest.raises(NamesRefused):
        authority.sign(request(), names, ADDRESSES, NOW)


def test_a_constrained_authority_certifies_its_own_realm_only(tmp_path: Path) -> None:
    permitted = Permitted(
        domains=("test.internal", "anode", "localhost"),
        networks=(IPv4Network("10.9.8.0/24"), IPv4Network("127.0.0.0/8")),
    )
    authority = Authority.create(tmp_path / "ca", "constrained", NOW, permitted)
    cert = authority.sign(request(), NAMES, ADDRESSES, NOW)
    assert openssl_verify(authority, cert, tmp_path).returncode == 0
    client = authority.issue_client("operator", NOW)[1]
    assert openssl_verify(authority, client, tmp_path).returncode == 0
    with pytest.raises(NamesRefused, match=r"outside of test\.internal"):
        authority.sign(request(), ("bank.example",), (), NOW)
    with pytest.raises(NamesRefused, match=r"outside of 10\.9\.8"):
        authority.sign(request(), NAMES, (IPv4Address("8.8.8.8"),), NOW)


def test_creating_twice_returns_the_same_authority(authority: Authority) -> None:
    again = Authority.create(authority.folder, "test authority", NOW + timedelta(days=9))
    assert again.ca_pem == authority.ca_pem
    with pytest.raises(AuthorityExists, match="'test authority', not 'other'"):
        Authority.create(authority.folder, "other", NOW)


def test_a_creation_cut_short_after_the_key_is_completed(
    tmp_path: Path, authority: Authority
) -> None:
    (authority.folder / "ca.pem").unlink()
    (authority.folder / ".ca.pem.0123").write_bytes(b"-----BEGIN CERT")
    again = Authority.create(authority.folder, "test authority", NOW)
    assert again.key.public_key() == authority.key.public_key()


def test_a_crash_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ca"

    def crash(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", crash)
        with pytest.raises(OSError, match="disk full"):
            Authority.create(folder, "test authority", NOW)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert Authority.create(folder, "test authority", NOW).name == "test authority"


def test_a_missing_authority_is_told_from_a_broken_one(authority: Authority) -> None:
    with pytest.raises(AuthorityMissing):
        Authority.open(authority.folder / "nowhere")
    key = authority.folder / "ca.key"
    saved = key.read_bytes()
    key.unlink()
    with pytest.raises(AuthorityBroken, match="is lost"):
        Authority.create(authority.folder, "test authority", NOW)
    files.write(key, b"noise", 0o600)
    with pytest.raises(AuthorityBroken, match="no private key"):
        Authority.open(authority.folder)
    other = Authority.create(authority.folder.parent / "other", "test authority", NOW)
    files.write(key, (other.folder / "ca.key").read_bytes(), 0o600)
    with pytest.raises(AuthorityBroken, match="not the key of"):
        Authority.open(authority.folder)
    files.write(key, saved, 0o600)
    assert Authority.open(authority.folder).ca_pem == authority.ca_pem


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_key_others_can_read_is_refused(authority: Authority, mode: int) -> None:
    key = authority.folder / "ca.key"
    key.chmod(mode)
    with pytest.raises(KeyExposed, match=f"chmod 600 {key}"):
        Authority.open(authority.folder)


def _sign_many(folder: Path, count: int) -> None:
    authority = Authority.open(folder)
    for _ in range(count):
        authority.sign(request(), NAMES, ADDRESSES, NOW)


@pytest.mark.long
def test_many_processes_sign_at_once_and_the_log_has_every_line(authority: Authority) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_sign_many, args=(authority.folder, 10)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    lines = (authority.folder / "issued.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert len({entry["serial"] for entry in entries}) == 30
    assert entries[0]["common_name"] == NAMES[0]


def test_a_torn_line_in_the_log_spoils_only_itself(authority: Authority) -> None:
    authority.sign(request(), NAMES, ADDRESSES, NOW)
    with (authority.folder / "issued.jsonl").open("ab") as log:
        log.write(b'{"serial": "12')
    authority.sign(request(), NAMES, ADDRESSES, NOW)
    assert len(list(authority.issued())) == 2


def test_a_full_disk_leaves_no_half_line(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.sign(request(), NAMES, ADDRESSES, NOW)
    before = (authority.folder / "issued.jsonl").read_bytes()
    write = files.os.write
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", lambda fd, data: write(fd, data[:7]))
        with pytest.raises(OSError, match="only 7 of"):
            authority.sign(request(), NAMES, ADDRESSES, NOW)
    assert (authority.folder / "issued.jsonl").read_bytes() == before


def test_a_machine_cannot_be_certified_as_the_operator(authority: Authority) -> None:
    """Databases give the operator's rights to this common name."""
    with pytest.raises(NamesRefused, match="call the node something else"):
        authority.sign(request(), ("operator", "operator.test.internal"), ADDRESSES, NOW)


@pytest.mark.parametrize("name", ["ca", "", "../x", "a/b", ".lock", "A B"])
def test_a_clients_files_stay_their_own(authority: Authority, name: str) -> None:
    before = (authority.folder / "ca.key").read_bytes()
    with pytest.raises(NamesRefused):
        authority.ensure_client(name, NOW, files.PlainKey(authority.folder / f"{name}.key"))
    assert (authority.folder / "ca.key").read_bytes() == before


def _create(folder: Path) -> None:
    Authority.create(folder, "test authority", NOW)


@pytest.mark.long
def test_many_processes_create_one_authority(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder = tmp_path / "ca"
    workers = [context.Process(target=_create, args=(folder,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    Authority.open(folder)


def test_a_clients_pair_is_kept_until_half_of_its_life(authority: Authority) -> None:
    keeper = files.PlainKey(authority.folder / "operator.key")
    held = authority.ensure_client("operator", NOW, keeper)
    assert held == (keeper.read(), (authority.folder / "operator.pem").read_bytes())
    assert keeper.path.stat().st_mode & 0o777 == 0o600
    assert authority.ensure_client("operator", NOW + timedelta(days=14), keeper) == held
    renewed = authority.ensure_client("operator", NOW + timedelta(days=16), keeper)
    assert renewed[1] != held[1]
    keeper.write(held[0])  # a crash between the two files
    key, cert = authority.ensure_client("operator", NOW + timedelta(days=16), keeper)
    assert key not in (held[0], renewed[0])
    loaded = serialization.load_pem_private_key(key, None)
    assert loaded.public_key() == x509.load_pem_x509_certificate(cert).public_key()
