"""Sessions with nodes, against a real SSH server: streams, codes, time limits, lost connections."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from deploys.errors import ConnectionLost, FailureKind, NodeError, Unreachable
from fedctl import host_keys
from fedctl.errors import FedctlError
from fedctl.remote import Link, Links, connect
from inventory.home import Home
from inventory.load import load
from inventory.model import Federation, Node, Ssh
from tests.support.ssh_keys import new_key
from tests.unit.fedctl.fakes import LAB
from tests.unit.fedctl.ssh_server import Server

FEDERATION = load(LAB)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "cache")


@pytest.fixture(params=["operator"])
def server(request: pytest.FixtureRequest, tmp_path: Path, home: Home) -> Iterator[Server]:
    users = {"operator": FEDERATION.operator_user, "bare": "root", "nobody": ""}[request.param]
    server = Server(new_key(tmp_path / "host"), new_key(home.ssh_key), frozenset({users}))
    yield server
    server.close()


@pytest.fixture
def node(server: Server) -> Node:
    at = {"address": IPv4Address("127.0.0.1"), "ssh": Ssh(port=server.port)}
    return FEDERATION.nodes[0].model_copy(update=at)


@pytest.fixture
def federation(node: Node) -> Federation:
    return FEDERATION.model_copy(update={"nodes": (node, *FEDERATION.nodes[1:])})


@pytest.fixture
def link(server: Server, federation: Federation, home: Home, node: Node) -> Iterator[Link]:
    host_keys.pin(federation, home, node, server.public)
    link = connect(federation, home, node)
    yield link
    link.close()


def test_no_key_of_ours_is_said_as_such(federation: Federation, home: Home, node: Node) -> None:
    home.ssh_key.unlink()
    with pytest.raises(Unreachable, match="fedctl secrets ssh-key") as raised:
        connect(federation, home, node)
    assert raised.value.kind is FailureKind.OWN_KEY


def test_streams_and_exit_code_come_back(link: Link) -> None:
    done = link.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.code, done.out, done.err) == (7, "out\n", "err\n")
    assert link.user == FEDERATION.operator_user


def test_arguments_arrive_as_they_are(link: Link) -> None:
    words = ["it's", '"quoted"', "$HOME", "a b", "*", "; exit 3", "\n", ""]
    done = link.run(["printf", "%s|", *words])
    assert done.out == "|".join(words) + "|"


def test_stdin_goes_in_and_ends(link: Link) -> None:
    assert link.run(["cat"], stdin="x" * 300_000).out == "x" * 300_000
    assert link.run(["cat"]).out == ""


def test_a_lot_on_both_streams_does_not_hang(link: Link) -> None:
    one = "printf '%0200d\\n' $i; printf '%0200d\\n' $i >&2"
    done = link.run(["sh", "-c", f"i=0; while [ $i -lt 3000 ]; do {one}; i=$((i+1)); done"])
    assert len(done.out) == len(done.err) == 3000 * 201


def test_a_command_that_takes_too_long_is_given_up(link: Link) -> None:
    with pytest.raises(NodeError, match="sleep did not end") as failed:
        link.run(["sleep", "30"], seconds=0.3)
    assert failed.value.kind is FailureKind.TIMEOUT
    assert link.run(["echo", "still there"]).out == "still there\n"


def test_a_connection_that_dies_is_said_to_be_lost(link: Link) -> None:
    with pytest.raises(ConnectionLost, match=link.node.name):
        link.run(["hang up"])
    with pytest.raises(ConnectionLost):
        link.run(["true"])


def test_lines_are_handed_on_as_they_come(link: Link) -> None:
    seen: list[tuple[str, bool]] = []
    code = link.stream(
        ["sh", "-c", "echo one; echo bad >&2; printf 'no newline'; exit 2"],
        lambda text, is_error: seen.append((text, is_error)),
    )
    assert code == 2
    assert [text for text, is_error in seen if not is_error] == ["one", "no newline"]
    assert [text for text, is_error in seen if is_error] == ["bad"]


def test_a_streamed_command_that_reads_finds_the_end(link: Link) -> None:
    assert link.stream(["cat"], lambda text, is_error: None) == 0


def test_root_is_reached_through_sudo_without_a_password(link: Link) -> None:
    from fedctl.ssh import FabricLink

    assert isinstance(link, FabricLink)
    assert link.command(["id", "-u"], root=True) == "sudo -n -- id -u"
    assert link.command(["id", "-u"], root=False) == "id -u"
    link.user = "root"
    assert link.command(["id", "-u"], root=True) == "id -u"


@pytest.mark.parametrize("server", ["bare"], indirect=True)
def test_a_bare_machine_is_reached_as_its_bootstrap_user(link: Link) -> None:
    assert link.user == "root"


@pytest.mark.parametrize("server", ["nobody"], indirect=True)
def test_a_key_that_nobody_takes_is_reported_for_both_users(
    server: Server, federation: Federation, home: Home, node: Node
) -> None:
    host_keys.pin(federation, home, node, server.public)
    with pytest.raises(Unreachable, match="neither for fedop nor for root") as failed:
        connect(federation, home, node)
    assert failed.value.kind is FailureKind.WRONG_KEY


def test_an_unpinned_or_another_host_key_is_refused(
    server: Server, federation: Federation, home: Home, node: Node, tmp_path: Path
) -> None:
    with pytest.raises(Unreachable) as failed:
        connect(federation, home, node)
    assert failed.value.kind is FailureKind.HOST_KEY_UNKNOWN
    other = new_key(tmp_path / "other")
    host_keys.pin(federation, home, node, f"{other.get_name()} {other.get_base64()}")
    with pytest.raises(Unreachable) as failed:
        connect(federation, home, node)
    assert failed.value.kind is FailureKind.HOST_KEY_CHANGED


def test_a_named_fingerprint_pins_the_key_and_another_does_not(
    server: Server, federation: Federation, home: Home, node: Node
) -> None:
    right = host_keys.fingerprint(server.public)
    with pytest.raises(FedctlError, match=re.escape(right)):
        host_keys.pin_fingerprint(federation, home, node, "SHA256:" + "A" * 43)
    assert not host_keys.pinned(federation, home, node)
    host_keys.pin_fingerprint(federation, home, node, right.removeprefix("SHA256:") + "=")
    assert host_keys.pinned(federation, home, node) == (server.public,)
    connect(federation, home, node).close()


def test_pinning_one_node_keeps_the_others(federation: Federation, home: Home, node: Node) -> None:
    other = federation.nodes[1]
    host_keys.pin(federation, home, other, "ssh-ed25519 AAAA")
    host_keys.pin(federation, home, node, "ssh-ed25519 BBBB")
    host_keys.pin(federation, home, node, "ssh-ed25519 CCCC")
    assert host_keys.pinned(federation, home, other) == ("ssh-ed25519 AAAA",)
    assert host_keys.pinned(federation, home, node) == ("ssh-ed25519 CCCC",)


def test_nodes_that_fail_are_remembered_and_the_others_answer(
    server: Server, federation: Federation, home: Home, node: Node
) -> None:
    host_keys.pin(federation, home, node, server.public)
    gone = federation.nodes[1].model_copy(
        update={"address": IPv4Address("127.0.0.1"), "ssh": Ssh(port=1)}
    )
    with Links(connect, federation, home) as links:
        answers = links.ask((node, gone), lambda link: link.run(["echo", "hello"]).out)
        assert answers == {node.name: "hello\n"}
        assert links.failed[gone.name].kind is FailureKind.DOWN
