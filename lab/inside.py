"""Doing things in a node without its network: through its namespaces, as root.

What works when SSH does not: a node that is cut off, locked out by its firewall, or half broken.
"""

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from inventory.home import Home
from inventory.model import Federation, Node
from lab.command import completed, environment
from lab.errors import CommandFailed, LabError, NodeNotRunning
from lab.names import folder_of, names_of
from lab.process import leader_of

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Completed:
    """How a command in a node ended."""

    exit_code: int
    stdout: str
    stderr: str


def enter(federation: Federation, home: Home, node: Node, argv: Sequence[str]) -> tuple[str, ...]:
    """The argument list that runs `argv` in the node; raises NodeNotRunning."""
    names_of(federation, home)
    leader = leader_of(folder_of(home, node).mount)
    if leader is None:
        raise NodeNotRunning(f"{node.name} is not running: fedctl lab boot {node.name}")
    variables = (f"PATH={PATH}", "HOME=/root", "USER=root", "LANG=C.UTF-8")
    terminal = os.environ.get("TERM", "dumb")
    return (
        *("nsenter", f"--target={leader.pid}", "--mount", "--uts", "--ipc", "--net", "--pid"),
        # The folder as the node has it: "/" would be this computer's.
        *("--cgroup", "--root", f"--wd=/proc/{leader.pid}/root", "--"),
        *("/usr/bin/env", "-i", *variables, f"TERM={terminal}"),
        *argv,
    )


def run_in(
    federation: Federation,
    home: Home,
    node: Node,
    argv: Sequence[str],
    *,
    text_in: str | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    check: bool = False,
) -> Completed:
    """Run `argv` in the node and keep what it prints.

    Raises NodeNotRunning, CommandFailed on a timeout, and with `check` on a non-zero exit code.
    """
    command = enter(federation, home, node, argv)
    try:
        done = completed(command, text_in=text_in, timeout_seconds=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        text = f"no end after {timeout_seconds:.0f} s on {node.name}"
        raise CommandFailed(argv, 124, text) from error
    if check and done.returncode != 0:
        raise CommandFailed((f"[{node.name}]", *argv), done.returncode, done.stderr or done.stdout)
    return Completed(done.returncode, done.stdout, done.stderr)


def stream_in(
    federation: Federation,
    home: Home,
    node: Node,
    argv: Sequence[str],
    *,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
) -> int:
    """Run `argv` in the node with this process's streams (or those given); its exit code."""
    command = enter(federation, home, node, argv)
    done = subprocess.run(command, stdout=stdout, stderr=stderr, env=environment(), check=False)
    return done.returncode


def shell(federation: Federation, home: Home, node: Node) -> int:
    """An interactive root shell in the node; its exit code."""
    return stream_in(federation, home, node, ("/bin/bash", "--login"))


def logs(
    federation: Federation, home: Home, node: Node, arguments: Iterable[str] = ()
) -> tuple[str, ...]:
    """The argument list of a journalctl that shows the node's journal, running or not.

    `arguments` are journalctl's own (`--follow`, `--unit=...`). Raises LabError without a journal.
    """
    if leader_of(folder_of(home, node).mount) is not None:
        return enter(federation, home, node, ("journalctl", "--no-pager", *arguments))
    folder = folder_of(home, node)
    journal = folder.upper / "var/log/journal"
    if not journal.is_dir():
        where = f"its console is {folder.console}" if folder.console.exists() else "fedctl lab up"
        raise LabError(f"{node.name} has no journal yet: {where}")
    return ("journalctl", "--no-pager", f"--directory={journal}", *arguments)
