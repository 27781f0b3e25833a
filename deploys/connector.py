"""pyinfra's way to a node: commands go through a Session that outlives pyinfra's State.

Commands run as root already (the agent's user), so `_sudo` alone adds nothing; `_sudo_user` and the
other ways to be somebody else work as pyinfra documents them.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyinfra.api import Host, State, StringCommand
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command

from deploys.script import NodeScript
from deploys.session import Answer, Session
from deploys.ship import Destination, ship

TIMEOUT_SECONDS = 1800
TAIL = 20


class NodeConnector(BaseConnector):
    """Carries pyinfra's commands over a Session; keeps what the last failed one said."""

    handles_execution = True

    def __init__(self, state: State, host: Host, session: Session) -> None:
        super().__init__(state, host)
        self.session = session
        self.failure = ""

    @staticmethod
    def make_names_data(name: str) -> Any:
        """Not for inventories: the runner makes hosts itself."""
        raise NotImplementedError

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> tuple[bool, CommandOutput]:
        """Run the command on the node; raises ConnectionLost when the session dies."""
        del print_output, print_input
        timeout = arguments.pop("_timeout", None)
        stdin = arguments.pop("_stdin", None)
        codes = arguments.pop("_success_exit_codes", None) or [0]
        arguments.pop("_get_pty", None)
        if isinstance(command, NodeScript):
            timeout = timeout or command.timeout_seconds or TIMEOUT_SECONDS
            answer = self.session.script(command.name, command.argument, timeout)
        else:
            if not arguments.get("_sudo_user"):
                arguments.pop("_sudo", None)
            text = make_unix_command(command, **arguments).get_raw_value()
            answer = self.session.shell(text, _bytes(stdin), timeout or TIMEOUT_SECONDS)
        succeeded = answer.code in codes
        if not succeeded:
            self.failure = _explain(command, answer)
        return succeeded, _output(answer)

    def put_file(
        self,
        filename_or_io: Any,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        """Upload a file atomically, owned by root with mode 0600."""
        del remote_temp_filename, print_output, print_input, arguments
        if isinstance(filename_or_io, (str, os.PathLike)):
            with open(filename_or_io, "rb") as file:  # noqa: PTH123
                size = os.fstat(file.fileno()).st_size
                answer = self.session.put(file, size, remote_filename)
        else:
            filename_or_io.seek(0)
            data = filename_or_io.read()
            data = data.encode() if isinstance(data, str) else data
            answer = self.session.put(io.BytesIO(data), len(data), remote_filename)
        if answer.code != 0:
            self.failure = f"upload failed: {answer.err.decode(errors='replace').strip()}"
        return answer.code == 0

    def copy_files(self, to: Destination, folder: str, files: Mapping[str, Path]) -> None:
        """Copy large files over a connection of their own; raises NodeError."""
        ship(replace(to, user=self.session.user), folder, files)

    def get_file(self, *args: Any, **kwargs: Any) -> bool:
        """Nothing is ever downloaded from nodes through pyinfra."""
        raise NotImplementedError


def _bytes(stdin: Any) -> bytes:
    if stdin is None:
        return b""
    if hasattr(stdin, "read"):
        stdin = stdin.read()
    if isinstance(stdin, (list, tuple)):
        stdin = "".join(line if line.endswith("\n") else line + "\n" for line in stdin)
    return stdin if isinstance(stdin, bytes) else str(stdin).encode()


def _output(answer: Answer) -> CommandOutput:
    lines = [OutputLine("stdout", x) for x in answer.out.decode(errors="replace").splitlines()]
    lines += [OutputLine("stderr", x) for x in answer.err.decode(errors="replace").splitlines()]
    return CommandOutput(lines)


def _explain(command: StringCommand, answer: Answer) -> str:
    said = (answer.err.strip() or answer.out.strip()).decode(errors="replace")
    tail = "\n".join(said.splitlines()[-TAIL - 2 :])
    return f"{tail or 'no output'}\n(exit status {answer.code} of: {str(command)[:300]})"
