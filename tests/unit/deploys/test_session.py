"""Every way a connection can fail has its kind and says what to do: against a real SSH server."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import paramiko
import pytest

from deploys import session
from deploys.errors import ConnectionLost, FailureKind, NodeError, Unreachable
from deploys.own_secrets import store_of
from deploys.session import connect, open_session, wait_for_session
from inventory.home import Home
from inventory.model import Node, Ssh
from tests.ops.contexts import federation
from tests.support.ports import free_port
from tests.support.ssh_keys import new_key


class OneKeyServer(paramiko.ServerInterface):
    """Lets in whoever has `accepted`."""

    def __init__(self, accepted: paramiko.PKey) -> None:
        self.accepted = accepted

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        same = key.asbytes() == self.accepted.asbytes()
        return paramiko.AUTH_SUCCESSFUL if same else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self.execute, args=(channel,), daemon=True).start()
        return True

    @staticmethod
    def execute(channel: paramiko.Channel) -> None:
        """What happens instead of the command; tests replace it."""
        channel.close()


class Server:
    """An SSH server on a port of its own; one connection at a time."""

    def __init__(self, host_key: paramiko.PKey, accepted: paramiko.PKey) -> None:
        self.host_key, self.accepted = host_key, accepted
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        transports = []
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                break
            transport = paramiko.Transport(link)
            transport.add_server_key(self.host_key)
            transports.append(transport)
            try:
                transport.start_server(server=OneKeyServer(self.accepted))
            except (paramiko.SSHException, EOFError):
                continue
        for transport in transports:
            transport.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path / "home", cache=tmp_path / "cache")


@pytest.fixture
def operator_key(home: Home) -> paramiko.PKey:
    return new_key(home.ssh_key)


@pytest.fixture
def server(tmp_path: Path, operator_key: paramiko.PKey) -> Iterator[Server]:
    server = Server(new_key(tmp_path / "host"), operator_key)
    yield server
    server.close()


def node_at(port: int) -> Node:
    node = federation().nodes[0]
    return node.model_copy(update={"address": IPv4Address("127.0.0.1"), "ssh": Ssh(port=port)})


def pin(home: Home, port: int, key: paramiko.PKey) -> None:
    line = f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n"
    home.known_hosts.write_text("# pinned\n" + line)


def failure(home: Home, port: int) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        connect(node_at(port), home, "fedop").close()
    return caught.value


def test_the_pinned_key_and_the_right_user_key_get_in(home: Home, server: Server) -> None:
    pin(home, server.port, server.host_key)
    client = connect(node_at(server.port), home, "fedop")
    transport = client.get_transport()
    assert transport is not None
    assert transport.is_authenticated()
    client.close()


def test_a_changed_host_key_is_refused_with_the_line_that_pins_the_old(
    home: Home, server: Server, tmp_path: Path
) -> None:
    pin(home, server.port, new_key(tmp_path / "other"))
    error = failure(home, server.port)
    assert error.kind is FailureKind.HOST_KEY_CHANGED
    assert f"{home.known_hosts} line 2" in str(error)
    assert "bootstrap" in str(error)


def test_a_host_key_nobody_pinned_is_refused(home: Home, server: Server) -> None:
    assert failure(home, server.port).kind is FailureKind.HOST_KEY_UNKNOWN
    assert not home.known_hosts.exists()


def test_a_key_the_node_does_not_know_is_named(home: Home, server: Server) -> None:
    pin(home, server.port, server.host_key)
    new_key(home.ssh_key)
    error = failure(home, server.port)
    assert error.kind is FailureKind.WRONG_KEY
    assert str(home.ssh_public) in str(error)


def test_no_key_at_all_is_said(home: Home, server: Server) -> None:
    home.ssh_key.unlink()
    error = failure(home, server.port)
    assert error.kind is FailureKind.OWN_KEY
    assert "cannot use the operator's SSH key: there is no SSH key" in str(error)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "rsa in PEM", "ecdsa in PEM"])
def test_other_kinds_of_keys_get_in(home: Home, tmp_path: Path, kind: str) -> None:
    home.ssh_key.parent.mkdir(parents=True)
    argv = ["ssh-keygen", "-q", "-N", "", "-t", kind.split()[0], "-f", str(home.ssh_key)]
    subprocess.run([*argv, *(("-m", "PEM") if "PEM" in kind else ())], check=True)
    server = Server(new_key(tmp_path / "host"), paramiko.PKey.from_path(home.ssh_key))
    try:
        pin(home, server.port, server.host_key)
        connect(node_at(server.port), home, "fedop").close()
    finally:
        server.close()
    assert not home.ssh_key.exists()


def test_a_plain_key_is_taken_into_the_store(home: Home, server: Server) -> None:
    pin(home, server.port, server.host_key)
    assert home.ssh_key.exists()
    for _ in range(2):
        connect(node_at(server.port), home, "fedop").close()
        assert not home.ssh_key.exists()
    sealed = store_of(home).path("ssh").read_bytes()
    assert sealed.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")
    home.identity.unlink()
    assert "age identity" in str(failure(home, server.port))


def test_a_node_that_is_down(home: Home, operator_key: paramiko.PKey) -> None:
    port = free_port()
    assert failure(home, port).kind is FailureKind.DOWN


def test_a_user_who_cannot_be_root_is_found_out_at_once(
    home: Home, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(channel: paramiko.Channel) -> None:
        channel.send_stderr(b"sudo: a password is required\n")
        channel.send_exit_status(1)
        channel.close()

    monkeypatch.setattr(OneKeyServer, "execute", staticmethod(refuse))
    pin(home, server.port, server.host_key)
    with pytest.raises(NodeError, match="a password is required") as raised:
        open_session(node_at(server.port), home, "fedop")
    assert raised.value.kind is FailureKind.OPERATION


def test_an_agent_that_falls_silent_is_not_waited_for_without_end(
    home: Home, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greet(channel: paramiko.Channel) -> None:
        channel.sendall(b'{"rc": 0, "out": 0, "err": 0}\n')

    monkeypatch.setattr(OneKeyServer, "execute", staticmethod(greet))
    monkeypatch.setattr(session, "OVERDUE_SECONDS", 0.2)
    pin(home, server.port, server.host_key)
    opened = open_session(node_at(server.port), home, "fedop")
    with pytest.raises(ConnectionLost):
        opened.call("guard_confirm", {}, 1)
    opened.close()


def test_waiting_gives_up_with_the_last_reason(home: Home, operator_key: paramiko.PKey) -> None:
    port = free_port()
    with pytest.raises(Unreachable):
        wait_for_session(node_at(port), home, "fedop", 0.0)
