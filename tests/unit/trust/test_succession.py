"""One authority after another: openssl and Python's TLS judge, runs are cut off at every write."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.trust.test_authority import request
from trust import authority_keys, files
from trust.authority import Authority
from trust.certificate import decide
from trust.errors import AuthorityBroken
from trust.signing import Permitted, key_pem, permitted_by
from trust.succession import State, Succession
from trust.tls import client_context, server_context

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES, ADDRESSES = ("localhost",), (IPv4Address("127.0.0.1"),)


class Node:
    """What a node has: the bundle, and a client's pair as a stand-in for its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def apply(self, authority: Authority) -> bool:
        """As the certificates role does: the bundle always, a new pair when the decision is so."""
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        held = before.get("node.pem")
        (self.folder / "ca.pem").write_bytes(authority.ca_pem)
        if decide(held, authority.ca_pem, NAMES, ADDRESSES, NOW).kind == "issue":
            key = ec.generate_private_key(ec.SECP256R1())
            files.write(self.folder / "node.key", key_pem(key), 0o600)
            certificate = authority.sign(request(key), NAMES, ADDRESSES, NOW)
            (self.folder / "node.pem").write_bytes(certificate)
        return before != {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def server(self) -> ssl.SSLContext:
        """Wants clients of the federation."""
        pem, key, ca = (self.folder / name for name in ("node.pem", "node.key", "ca.pem"))
        return server_context(pem, key, ca)

    def client(self) -> ssl.SSLContext:
        """Shows its own certificate."""
        pem, key, ca = (self.folder / name for name in ("node.pem", "node.key", "ca.pem"))
        return client_context(ca, pem, key)


def talk(server: Node, client: Node) -> None:
    """A mutual handshake and a byte each way; raises ssl.SSLError when one refuses the other."""
    here, there = socket.socketpair()
    here.settimeout(30)
    there.settimeout(30)
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            with server.server().wrap_socket(here, server_side=True) as stream:
                stream.sendall(stream.recv(1))
        except (OSError, ssl.SSLError) as error:
            failed.append(error)
            here.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.client().wrap_socket(there, server_hostname="localhost") as stream:
            stream.sendall(b"x")
            assert stream.recv(1) == b"x"
    finally:
        thread.join(60)
    if failed:
        raise failed[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority.create(tmp_path / "ca", "test authority", NOW)
    return tmp_path / "ca"


@pytest.fixture
def succession(folder: Path) -> Succession:
    return Succession(folder, files.PlainKey(folder / "ca.key"))


@pytest.fixture
def nodes(tmp_path: Path, folder: Path) -> tuple[Node, Node]:
    made = Node(tmp_path / "one"), Node(tmp_path / "two")
    for node in made:
        node.apply(Authority.open(folder))
    return made


def test_at_every_moment_of_it_each_node_talks_to_the_other(
    folder: Path, succession: Succession, nodes: tuple[Node, Node]
) -> None:
    """Also while one node has followed a step and the other has not."""
    steps = (lambda: succession.begin(NOW), succession.switch, succession.drop)
    for step in steps:
        step()
        for node in nodes:
            assert node.apply(Authority.open(folder))
            talk(*nodes)
            talk(*reversed(nodes))
        assert not any(node.apply(Authority.open(folder)) for node in nodes)
    assert succession.state() is State.ALONE


def test_what_the_old_one_signed_is_refused_in_the_end(
    folder: Path, succession: Succession, nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    old = Node(tmp_path / "old")
    old.apply(Authority.open(folder))
    before = Authority.open(folder)
    succession.begin(NOW)
    succession.switch()
    for node in nodes:
        node.apply(Authority.open(folder))
    talk(nodes[0], old_with_bundle(old, folder))
    succession.drop()
    for node in nodes:
        node.apply(Authority.open(folder))
    with pytest.raises(ssl.SSLError):
        talk(nodes[0], old_with_bundle(old, folder))
    assert before.certificate not in Authority.open(folder).others
    # The same name, another key: only the new one's leaf verifies, by openssl's own chain building.
    for pem, wanted in ((nodes[0].folder / "node.pem", 0), (old.folder / "node.pem", 2)):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", str(folder / "ca.pem"), str(pem)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == wanted


def old_with_bundle(node: Node, folder: Path) -> Node:
    (node.folder / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())
    return node


def test_openssl_verifies_leaves_of_both_with_the_bundle(
    folder: Path, succession: Succession, tmp_path: Path
) -> None:
    succession.begin(NOW)
    leaves = [Authority.open(folder).sign(request(), NAMES, ADDRESSES, NOW)]
    succession.switch()
    leaves.append(Authority.open(folder).sign(request(), NAMES, ADDRESSES, NOW))
    for leaf in leaves:
        (tmp_path / "leaf.pem").write_bytes(leaf)
        given = ["-CAfile", str(folder / "ca.pem"), str(tmp_path / "leaf.pem")]
        subprocess.run(["openssl", "verify", "-x509_strict", *given], check=True)


def test_the_decision_about_a_leaf_follows_who_signs(folder: Path, succession: Succession) -> None:
    leaf = Authority.open(folder).sign(request(), NAMES, ADDRESSES, NOW)

    def kind() -> str:
        return decide(leaf, Authority.open(folder).ca_pem, NAMES, ADDRESSES, NOW).kind

    succession.begin(NOW)
    assert kind() == "keep"
    succession.switch()
    assert kind() == "issue"
    succession.back()
    assert kind() == "keep"


def test_the_operators_own_certificate_follows(folder: Path, succession: Succession) -> None:
    def held() -> bytes:
        keeper = files.PlainKey(folder / "operator.key")
        return Authority.open(folder).ensure_client("operator", NOW, keeper)[1]

    first = held()
    succession.begin(NOW)
    assert held() == first
    succession.switch()
    second = held()
    assert second != first
    succession.drop()
    assert held() == second


def test_the_successor_may_certify_what_the_old_one_may(tmp_path: Path) -> None:
    permitted = Permitted(("localhost",), (IPv4Network("127.0.0.0/8"),))
    Authority.create(tmp_path / "ca", "small", NOW, permitted)
    succession = Succession(tmp_path / "ca", files.PlainKey(tmp_path / "ca" / "ca.key"))
    succession.begin(NOW)
    succession.switch()
    opened = Authority.open(tmp_path / "ca")
    own, old = opened.certificate, *opened.others
    assert permitted_by(own) == permitted_by(old) == permitted
    assert opened.name == "small" and own.public_key() != old.public_key()


class Cut(Exception):
    """The power went."""


@contextmanager
def cut_after(writes: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only so many more files are written."""
    left = iter(range(writes))
    real = files.write

    def write(path: Path, content: bytes, mode: int) -> None:
        if next(left, None) is None:
            raise Cut
        real(path, content, mode)

    with patch.context() as within:
        within.setattr(files, "write", write)
        yield


@pytest.mark.parametrize(
    ("before", "step", "writes", "after"),
    [
        ([], "begin", 0, State.ALONE),
        ([], "begin", 1, State.BEGUN),
        (["begin"], "switch", 0, State.TRUSTED),
        (["begin", "switch"], "drop", 0, State.SIGNING),
        (["begin", "switch"], "drop", 1, State.DROPPING),
        (["begin"], "drop", 1, State.DROPPING),
        (["begin", "switch"], "back", 0, State.SIGNING),
    ],
)
def test_cut_off_at_any_write_it_is_in_a_state_that_works_and_goes_on(
    folder: Path, succession: Succession, monkeypatch: pytest.MonkeyPatch,
    before: list[str], step: str, writes: int, after: State,
) -> None:  # fmt: skip
    def take(name: str) -> None:
        verb: Callable[..., None] = getattr(succession, name)
        verb(NOW) if name == "begin" else verb()

    for name in before:
        take(name)
    signer = Authority.open(folder).key.public_key()
    with cut_after(writes, monkeypatch), pytest.raises(Cut):
        take(step)
    assert succession.state() is after
    opened = Authority.open(folder)
    assert opened.key.public_key() == signer
    assert opened.sign(request(), NAMES, ADDRESSES, NOW)
    assert Authority.create(folder, "test authority", NOW).ca_pem == opened.ca_pem
    take(step)
    wanted = {"begin": State.TRUSTED, "switch": State.SIGNING, "back": State.TRUSTED}
    assert succession.state() is wanted.get(step, State.ALONE)


def test_a_dropped_key_never_comes_back(folder: Path, succession: Succession) -> None:
    """Neither the old one after the end, nor the new one after it was taken back."""
    first = Authority.open(folder).certificate.public_key()
    succession.begin(NOW)
    new = Authority.open(folder).others[0].public_key()
    succession.drop()
    assert Authority.open(folder).certificate.public_key() == first
    succession.begin(NOW)
    assert Authority.open(folder).others[0].public_key() != new
    succession.switch()
    succession.drop()
    succession.begin(NOW)
    assert first not in [other.public_key() for other in Authority.open(folder).others]


def test_steps_out_of_turn_are_refused(succession: Succession) -> None:
    for step in (succession.switch, succession.back):
        with pytest.raises(AuthorityBroken):
            step()
    succession.begin(NOW)
    with pytest.raises(AuthorityBroken, match="there already"):
        succession.begin(NOW)
    with pytest.raises(AuthorityBroken):
        succession.back()
    succession.switch()
    with pytest.raises(AuthorityBroken):
        succession.switch()


def test_files_that_do_not_belong_together_are_told_apart(
    folder: Path, succession: Succession, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path / "other", "test authority", NOW)
    succession.begin(NOW)
    keys = authority_keys.read_keys(succession.keeper)
    bundle = (folder / "ca.pem").read_bytes()
    (folder / "ca.pem").write_bytes(Authority.open(folder).ca_pem + other.ca_pem)
    with pytest.raises(AuthorityBroken, match="do not belong together"):
        succession.state()
    (folder / "ca.pem").unlink()
    with pytest.raises(AuthorityBroken, match="succeeds another"):
        Authority.create(folder, "test authority", NOW + timedelta(days=1))
    files.write(folder / "ca.pem", bundle, 0o644)
    authority_keys.write_keys(succession.keeper, [keys[1], other.key])
    with pytest.raises(AuthorityBroken, match="is not the key of"):
        succession.state()
