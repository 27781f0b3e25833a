"""A Fabric connection over a client that was connected strictly (see `deploys.session`)."""

import io
import shlex
import time
from collections.abc import Callable, Sequence

import paramiko
from fabric import Config, Connection  # type: ignore[import-untyped]
from invoke.exceptions import ThreadException

from deploys.errors import ConnectionLost, FailureKind, NodeError
from fedctl.remote import DEFAULT_SECONDS, Done
from inventory.model import Node

POLL_SECONDS = 0.01
CHUNK = 1 << 16


class FabricLink:
    """A session with one node. Commands may run in several threads, each in its own channel."""

    def __init__(self, node: Node, user: str, client: paramiko.SSHClient) -> None:
        self.node, self.user = node, user
        # lazy: no ~/.ssh/config, no /etc/fabric.yml decides where we go or whom we trust.
        config = Config(lazy=True)
        self._connection = Connection(
            str(node.address), user=user, port=node.ssh.port, config=config
        )
        self._connection.client = client
        self._connection.transport = client.get_transport()
        self._client = client

    def run(
        self,
        argv: Sequence[str],
        *,
        root: bool = False,
        stdin: str = "",
        seconds: float = DEFAULT_SECONDS,
    ) -> Done:
        """Run a command and keep what it prints.

        Raises NodeError when the session dies or the command takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        try:
            channel = self._open(seconds)
            channel.exec_command(self.command(argv, root=root))
            if stdin:
                channel.sendall(stdin.encode())
            channel.shutdown_write()
            return self._collect(channel, argv[0], deadline)
        except TimeoutError as error:
            raise self._slow(argv[0], seconds) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost(error) from error

    def _collect(self, channel: paramiko.Channel, name: str, deadline: float) -> Done:
        """Read both streams to their ends: a full window on one must not hold up the other."""
        parts: tuple[list[bytes], list[bytes]] = ([], [])
        channel.settimeout(POLL_SECONDS)
        while not channel.closed or channel.recv_ready() or channel.recv_stderr_ready():
            moved = False
            if channel.recv_ready():
                parts[0].append(channel.recv(CHUNK))
                moved = True
            if channel.recv_stderr_ready():
                parts[1].append(channel.recv_stderr(CHUNK))
                moved = True
            if moved:
                continue
            if channel.exit_status_ready() and channel.eof_received:
                break
            if time.monotonic() > deadline:
                channel.close()
                raise self._slow(name, None)
            time.sleep(POLL_SECONDS)
        if not channel.exit_status_ready():
            raise self._lost(EOFError("the session ended"))
        out, err = (b"".join(chunks).decode(errors="replace") for chunks in parts)
        return Done(channel.recv_exit_status(), out, err)

    def _open(self, seconds: float) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError("not connected")
        return transport.open_session(timeout=seconds)

    def stream(
        self, argv: Sequence[str], line: Callable[[str, bool], None], *, root: bool = False
    ) -> int:
        """Run a command, calling `line(text, is_stderr)` as lines come; its exit code."""
        out, err = _Lines(line, error=False), _Lines(line, error=True)
        try:
            done = self._connection.run(
                # Nobody types into many nodes at once: a command that reads finds the end.
                f"{self.command(argv, root=root)} </dev/null",
                hide=False, warn=True, in_stream=False, out_stream=out, err_stream=err,
            )  # fmt: skip
        except (OSError, EOFError, paramiko.SSHException, ThreadException) as error:
            raise self._lost(error) from error
        finally:
            out.end()
            err.end()
        return int(done.exited)

    def close(self) -> None:
        """End the session, and whatever runs in it."""
        self._client.close()

    def command(self, argv: Sequence[str], *, root: bool) -> str:
        """The line the node's shell gets: quoted, through sudo when root is wanted."""
        if root and self.user != "root":
            return shlex.join(["sudo", "-n", "--", *argv])
        return shlex.join(argv)

    def _slow(self, name: str, seconds: float | None) -> NodeError:
        bound = "in time" if seconds is None else f"within {seconds:.0f} s"
        return NodeError(FailureKind.TIMEOUT, f"{self.node.name}: {name} did not end {bound}")

    def _lost(self, error: BaseException) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self.node.name} was lost: {error}")


class _Lines(io.StringIO):
    """A stream that hands on whole lines."""

    def __init__(self, line: Callable[[str, bool], None], *, error: bool) -> None:
        super().__init__()
        self._line, self._error, self._rest = line, error, ""

    def write(self, text: str) -> int:
        """Collect; every completed line goes on."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line.rstrip("\r"), self._error)
        return len(text)

    def end(self) -> None:
        """What was left without a newline is a line too."""
        if self._rest:
            self._line(self._rest, self._error)
            self._rest = ""
