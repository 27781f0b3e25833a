"""One SSH session with one node, and the agent that runs commands there as root.

Strict by construction: the pinned host keys and the operator's key are the only ones used; no SSH
agent, no other key, no ~/.ssh. Every way a connection can fail becomes a NodeError that says what
to do. A peer that falls silent (power cut, network gone) is noticed within `SILENCE_SECONDS`.
"""

import contextlib
import io
import json
import shlex
import socket
import time
from dataclasses import dataclass
from typing import Any

import paramiko

from deploys.errors import ConnectionLost, FailureKind, NodeError, Unreachable
from deploys.remote_source import source
from inventory.home import Home
from inventory.model import Node
from trust import operator_ssh
from trust.errors import TrustError

CONNECT_SECONDS = 6.0
LOGIN_SECONDS = 15.0
CALL_SECONDS = 60
# The node ends a command whose time is up. Later than this it is the node that does not answer,
# although its kernel does: a disk that hangs, memory that is gone.
OVERDUE_SECONDS = 60
SILENCE_SECONDS = 12
# Also how soon a connection goes on after a firewall that has not seen it begin was loaded.
ALIVE_SECONDS = 1
CHUNK = 1 << 18
# Reads the agent's own text from stdin: the command line in `ps` stays short.
BOOT = "import sys; b = sys.stdin.buffer; exec(b.read(int(b.readline())))"


@dataclass(frozen=True)
class Answer:
    """What a command did: exit status and output."""

    code: int
    out: bytes
    err: bytes


class Session:
    """A connected client with a running agent. Use `open_session` to get one."""

    def __init__(self, client: paramiko.SSHClient, user: str, node: Node) -> None:
        self.user = user
        self.node = node
        self._client = client
        self._channel = self._open_channel()
        self._start_agent()
        self._reader = self._channel.makefile("rb", -1)
        self._greeted()

    def shell(self, command: str, stdin: bytes = b"", timeout: int | None = None) -> Answer:
        """Run a shell command as root."""
        header = {"kind": "shell", "command": command, "timeout": timeout, "size": len(stdin)}
        return self._ask(header, stdin)

    def script(self, name: str, argument: Any, timeout: int | None = None) -> Answer:
        """Run `deploys/remote/NAME.py` as root; its result is JSON on stdout."""
        body = json.dumps({"source": source(name), "argument": argument}).encode()
        return self._ask({"kind": "script", "timeout": timeout, "size": len(body)}, body)

    def call(self, name: str, argument: Any, timeout: int = CALL_SECONDS) -> Any:
        """The JSON value a script returns; raises NodeError when it fails."""
        answer = self.script(name, argument, timeout)
        if answer.code != 0:
            text = answer.err.decode(errors="replace").strip()
            raise NodeError(FailureKind.OPERATION, f"{name} failed on {self.node.name}: {text}")
        return json.loads(answer.out)

    def put(self, content: Any, size: int, path: str, mode: int = 0o600) -> Answer:
        """Write `size` bytes read from the file object `content` to `path`, atomically, as root."""
        self._channel.settimeout(None)
        self._send({"kind": "put", "path": path, "mode": mode, "size": size}, b"")
        try:
            while data := content.read(CHUNK):
                self._channel.sendall(data)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost(error) from error
        return self._reply()

    def close(self) -> None:
        """End the session: whatever the agent is running is killed."""
        with contextlib.suppress(Exception):
            self._channel.close()
        with contextlib.suppress(Exception):
            self._client.close()

    def _open_channel(self) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise self._lost(EOFError("no transport"))
        try:
            return transport.open_session(timeout=LOGIN_SECONDS)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost(error) from error

    def _start_agent(self) -> None:
        text = source("agent").encode()
        command = f"python3 -I -S -c {shlex.quote(BOOT)}"
        if self.user != "root":
            command = f"sudo -n -H -- {command}"
        try:
            self._channel.exec_command(command)
            self._channel.sendall(f"{len(text)}\n".encode() + text)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost(error) from error

    def _greeted(self) -> None:
        """The agent's first reply: only now it is known that this user can be root there."""
        self._channel.settimeout(LOGIN_SECONDS)
        self._reply()

    def _ask(self, header: dict[str, Any], body: bytes) -> Answer:
        limit = header["timeout"]
        self._channel.settimeout(None if limit is None else limit + OVERDUE_SECONDS)
        self._send(header, body)
        return self._reply()

    def _send(self, header: dict[str, Any], body: bytes) -> None:
        try:
            self._channel.sendall(json.dumps(header).encode() + b"\n" + body)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost(error) from error

    def _reply(self) -> Answer:
        try:
            line = self._reader.readline()
            header = json.loads(line) if line else None
            if header is not None:
                out = self._reader.read(header["out"]) if header["out"] else b""
                err = self._reader.read(header["err"]) if header["err"] else b""
                return Answer(header["rc"], out, err)
        except (OSError, EOFError, ValueError, paramiko.SSHException) as error:
            raise self._lost(error) from error
        raise self._lost(EOFError("the session ended"))

    def _lost(self, error: Exception) -> NodeError:
        """Why there is no answer: the connection died, or the agent could not start."""
        name, said = self.node.name, ""
        transport = self._client.get_transport()
        if transport is not None and transport.is_active() and hasattr(self, "_channel"):
            self._channel.settimeout(2.0)
            with contextlib.suppress(Exception):
                said = self._channel.recv_stderr(4096).decode(errors="replace").strip()
        if said:
            return NodeError(
                FailureKind.OPERATION, f"{name}: no root shell for {self.user}: {said}"
            )
        return ConnectionLost(f"the connection to {name} was lost: {error}")


def open_session(node: Node, home: Home, user: str) -> Session:
    """Log in to `node` as `user` and start the agent; raises Unreachable and other NodeErrors."""
    client = connect(node, home, user)
    try:
        return Session(client, user, node)
    except BaseException:
        client.close()
        raise


def connect(node: Node, home: Home, user: str) -> paramiko.SSHClient:
    """An authenticated client that trusts only `home.known_hosts`.

    Raises Unreachable, of the kind OWN_KEY when it is our own key that cannot be used.
    """
    place = f"{node.name} ({node.address}, port {node.ssh.port})"
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Refuse())
    if home.known_hosts.exists():
        client.load_host_keys(str(home.known_hosts))
    key = _private_key(home)
    link = _dial(node, place)
    try:
        client.connect(
            str(node.address),
            port=node.ssh.port,
            username=user,
            pkey=key,
            sock=link,
            allow_agent=False,
            look_for_keys=False,
            timeout=CONNECT_SECONDS,
            banner_timeout=LOGIN_SECONDS,
            auth_timeout=LOGIN_SECONDS,
        )
    except paramiko.AuthenticationException as error:
        message = f"{place} refuses {user} with the key {home.ssh_public}"
        raise Unreachable(FailureKind.WRONG_KEY, message) from error
    except paramiko.BadHostKeyException as error:
        raise Unreachable(FailureKind.HOST_KEY_CHANGED, _changed(node, home, place)) from error
    except _UnknownHostKey as error:
        message = (
            f"no host key of {place} is pinned in {home.known_hosts}: check the machine's "
            f"fingerprint, then `fedctl bootstrap {node.name} --host-key FINGERPRINT`"
        )
        raise Unreachable(FailureKind.HOST_KEY_UNKNOWN, message) from error
    except (TimeoutError, paramiko.SSHException, OSError, EOFError) as error:
        silent = isinstance(error, TimeoutError) or "timeout" in str(error).lower()
        kind = FailureKind.TIMEOUT if silent else FailureKind.DOWN
        raise Unreachable(kind, f"no SSH session with {place}: {error}") from error
    except BaseException:
        link.close()
        raise
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(ALIVE_SECONDS)
    return client


def wait_for_session(node: Node, home: Home, user: str, seconds: float) -> Session:
    """A new session as soon as one can be had within `seconds`; raises the last failure."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return open_session(node, home, user)
        except NodeError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)


class _UnknownHostKey(paramiko.SSHException):
    """The node shows a key nobody pinned."""


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        del client, key
        raise _UnknownHostKey(hostname)


def _dial(node: Node, place: str) -> socket.socket:
    try:
        link = socket.create_connection((str(node.address), node.ssh.port), CONNECT_SECONDS)
    except TimeoutError as error:
        raise Unreachable(FailureKind.TIMEOUT, f"{place} does not answer") from error
    except OSError as error:
        raise Unreachable(FailureKind.DOWN, f"{place}: {error.strerror or error}") from error
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 4),
        ("TCP_KEEPINTVL", 4),
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", SILENCE_SECONDS * 1000),
    ):
        # macOS has other names for some; the SSH keepalive still finds a closed connection there.
        if hasattr(socket, option):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return link


def _private_key(home: Home) -> paramiko.PKey:
    try:
        text = operator_ssh.private_text(home)
    except (OSError, TrustError) as error:
        message = f"cannot use the operator's SSH key: {error}"
        raise Unreachable(FailureKind.OWN_KEY, message) from error
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with contextlib.suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text))
    message = "cannot use the operator's SSH key: it is none of Ed25519, ECDSA and RSA"
    raise Unreachable(FailureKind.OWN_KEY, message)


def _changed(node: Node, home: Home, place: str) -> str:
    names = {str(node.address), f"[{node.address}]:{node.ssh.port}"}
    lines = home.known_hosts.read_text().splitlines()
    pinned = [n for n, line in enumerate(lines, 1) if names & set(line.split(" ")[0].split(","))]
    where = f"{home.known_hosts} line {', '.join(map(str, pinned))}"
    return (
        f"{place} shows another host key than the one pinned in {where}: either it was rebuilt "
        "or someone is in between. If you rebuilt it, pin the new key with "
        f"`fedctl bootstrap {node.name} --host-key FINGERPRINT`"
    )
