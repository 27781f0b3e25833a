"""Copy many or large files to a node: one tar stream through one SSH connection of its own.

As fast as SFTP for one large file (some 100 MB/s on a busy 2-core machine), and for many small ones
it waits for no answer between them and needs no second copy through /tmp to become root's. Files
land in a folder nobody uses yet: what they are must be checked by hash on the node before anything
is done with them. Whole files that arrived before a connection broke are kept, so a second attempt
sends only the rest. Host keys are the pinned ones, as everywhere.
"""

import shlex
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pyinfra.api import Host, State
from pyinfra.api.command import PyinfraCommand

from deploys.context import NodeContext
from deploys.errors import ConnectionLost, OperationFailed
from trust.errors import TrustError
from trust.operator_ssh import lent_path

SSH_LOST = 255
# Slower than this for long is as good as dead (1 MB/s), after a minute's grace.
MINIMUM_BYTES_PER_SECOND = 1_000_000
GRACE_SECONDS = 60
CONNECT_SECONDS = 10
KEEP_FREE_KIB = 16384


@dataclass(frozen=True)
class Destination:
    """A node as SSH reaches it, and the operator's proof and pins.

    `key` gives the path of the private key when it is about to be used.
    """

    user: str
    address: str
    port: int
    key: Callable[[], Path]
    known_hosts: Path


def destination(context: NodeContext) -> Destination:
    """How the operator user reaches the node of `context`."""
    return Destination(
        user=context.federation.operator_user,
        address=str(context.node.address),
        port=context.node.ssh.port,
        key=partial(lent_path, context.home),
        known_hosts=context.home.known_hosts,
    )


def ssh_arguments(to: Destination, command: str) -> list[str]:
    """The ssh command that runs `command` (shell text) there, reading nobody's configuration."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        # Not the computer's own /etc/ssh/ssh_known_hosts either.
        "GlobalKnownHostsFile": "none",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
        "ServerAliveCountMax": "4",
        "ServerAliveInterval": "5",
        "StrictHostKeyChecking": "yes",
        # In quotes, since ssh reads a list of files here.
        "UserKnownHostsFile": f'"{to.known_hosts}"',
    }
    return [
        "ssh", "-F", "none", "-T", "-i", str(to.key()), "-p", str(to.port),
        *(f"-o{name}={value}" for name, value in options.items()),
        f"{to.user}@{to.address}", command,
    ]  # fmt: skip


def receive_command(folder: str, user: str) -> str:
    """What runs on the node: unpack stdin into `folder` as root."""
    quoted = shlex.quote(folder)
    unpack = f"tar --extract --no-same-owner --directory {quoted} --file -"
    # What arrived whole is worth keeping, unless it is what filled the disk.
    full = f'[ "$(df --output=avail {quoted} | tail -n 1)" -lt {KEEP_FREE_KIB} ]'
    say = "echo the disk is full: what had arrived was removed >&2"
    mend = f"{{ code=$?; {full} && rm -rf {quoted} && {say}; exit $code; }}"
    script = f"umask 022; mkdir -p {quoted} && {unpack} || {mend}"
    return script if user == "root" else f"sudo -n sh -c {shlex.quote(script)}"


class Ship(PyinfraCommand):
    """The pyinfra command that copies `files` (name there -> path here) into `folder` of a node.

    The connector does it (`copy_files`), since it knows as whom the node lets us in at the moment.
    """

    def __init__(self, to: Destination, folder: str, files: Mapping[str, Path]) -> None:
        super().__init__()
        self.to = to
        self.folder = folder
        self.files = dict(files)

    def __repr__(self) -> str:
        return f"copy {len(self.files)} files to {self.folder}"

    def execute(self, state: State, host: Host, connector_arguments: Any) -> bool:
        """Copy; a NodeError passes through to whoever runs the operation."""
        del state, connector_arguments
        connector: Any = host.connector
        connector.copy_files(self.to, self.folder, self.files)
        return True


def ship(to: Destination, folder: str, files: Mapping[str, Path]) -> None:
    """Copy now; raises ConnectionLost or OperationFailed."""
    size = sum(path.stat().st_size for path in files.values())
    try:
        arguments = ssh_arguments(to, receive_command(folder, to.user))
    except TrustError as error:
        raise OperationFailed(f"nothing was copied to {to.address}: {error}") from error
    with subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        # A node that stops reading (a disk that hangs) would hold up the writing for ever.
        limit = threading.Timer(GRACE_SECONDS + size / MINIMUM_BYTES_PER_SECOND, process.kill)
        limit.daemon = True
        limit.start()
        try:
            broken = _write(process.stdin, files)
            said = process.communicate()[1]
        finally:
            limit.cancel()
            # Also when a signal ends this: nothing goes on copying behind the operator's back.
            process.kill()
    if process.returncode == -signal.SIGKILL:
        raise ConnectionLost(f"copying {size} bytes to {to.address} came to a halt")
    message = said.decode(errors="replace").strip()
    if process.returncode == SSH_LOST:
        raise ConnectionLost(f"copying to {to.address}: {message or 'the connection broke'}")
    if process.returncode != 0 or broken:
        raise OperationFailed(f"copying to {folder} on {to.address} failed: {message}")


def _write(stdin: IO[bytes] | None, files: Mapping[str, Path]) -> bool:
    """Write the archive; True when the other end stopped reading before its end."""
    if stdin is None:
        return True
    try:
        with tarfile.open(fileobj=stdin, mode="w|", bufsize=1 << 20) as archive:
            for name, path in sorted(files.items()):
                archive.add(path.resolve(), arcname=name, recursive=False, filter=_plain)
        stdin.flush()
    except BrokenPipeError:
        return True
    return False


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member
