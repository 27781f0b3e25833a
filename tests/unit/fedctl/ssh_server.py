"""A small real SSH server that runs what it is asked to, here, for whom it knows."""

import contextlib
import socket
import subprocess
import threading

import paramiko


class Interface(paramiko.ServerInterface):
    """Lets in one key for some users, and runs commands."""

    def __init__(self, key: paramiko.PKey, users: frozenset[str]) -> None:
        self._key, self._users = key, users

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """The right key, for a user that exists."""
        good = key.asbytes() == self._key.asbytes() and username in self._users
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        """Keys only."""
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Sessions only."""
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Run it in a thread."""
        threading.Thread(target=execute, args=(channel, command.decode()), daemon=True).start()
        return True


def execute(channel: paramiko.Channel, command: str) -> None:
    """As sshd does: a shell, three streams, an exit status. `hang up` ends the connection."""
    if command == "'hang up'":
        channel.get_transport().close()
        return
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pumps = [
        threading.Thread(target=pump, args=(process.stdout, channel.sendall), daemon=True),
        threading.Thread(target=pump, args=(process.stderr, channel.sendall_stderr), daemon=True),
    ]
    for thread in pumps:
        thread.start()
    threading.Thread(target=feed, args=(channel, process), daemon=True).start()
    for thread in pumps:
        thread.join()
    channel.send_exit_status(process.wait())
    channel.close()


def feed(channel: paramiko.Channel, process: "subprocess.Popen[bytes]") -> None:
    """What the client sends is the command's stdin."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, EOFError), process.stdin as stdin:
        while chunk := channel.recv(65536):
            stdin.write(chunk)
            stdin.flush()


def pump(source: object, send: object) -> None:
    """Everything from a pipe to a channel; a channel that is gone ends it."""
    try:
        while chunk := source.read1(65536):  # type: ignore[attr-defined]
            send(chunk)  # type: ignore[operator]
    except OSError:
        return
    finally:
        source.close()  # type: ignore[attr-defined]


class Server:
    """An SSH server on a port of its own."""

    def __init__(self, host_key: paramiko.PKey, key: paramiko.PKey, users: frozenset[str]) -> None:
        self.host_key = host_key
        self._interface = (key, users)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def public(self) -> str:
        """The host key as `type base64`."""
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def close(self) -> None:
        """End every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(link)
            transport.add_server_key(self.host_key)
            self._transports.append(transport)
            # A client that only wanted the host key leaves in the middle of the handshake.
            with contextlib.suppress(Exception):
                transport.start_server(server=Interface(*self._interface))
