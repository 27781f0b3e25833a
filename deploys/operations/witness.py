"""Give a witness its key: made on its node, its public half pinned at the operator's.

Whoever could exchange a witness's key could let it forget what it saw. So a key that is not the
pinned one is refused, and so is a node that lost its key; rebuilding the node on purpose
(`fedctl bootstrap`, with its new host key) retires the pin first.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from pyinfra.api import Host, State, operation
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import host

from deploys.changes import announce
from deploys.errors import OperationFailed
from deploys.facts.witness import WitnessKey
from deploys.protocol import Change
from deploys.script import NodeScript, decode

# Takes the node's public key as hex and pins it; raises OperationFailed when it must not.
Pin = Callable[[str], None]


class MakeAndPin(NodeScript):
    """Make the key on the node unless it is there, and pin its public half here."""

    def __init__(self, argument: Mapping[str, Any], pin: Pin, describe: list[str]) -> None:
        super().__init__("witness_key", dict(argument), describe)
        self.pin = pin

    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        """Run the script, then pin what it returned."""
        succeeded, output = cast(
            tuple[bool, CommandOutput],
            super().execute(state, host, connector_arguments),
        )
        if succeeded:
            found = decode(output.stdout_lines)
            if found["state"] != "there":
                raise OperationFailed("the witness's key was made and cannot be read")
            self.pin(found["public"])
        return succeeded, output


@operation()
def witness_key(
    path: str, credential: str, key_name: str, pinned: str, pin: Pin
) -> Generator[NodeScript, None, None]:
    """Have a witness key at `path`; `pinned` is the public one expected, as hex, or nothing."""
    state = host.get_fact(WitnessKey, path=path, credential=credential, key_name=key_name)
    problem = refusal(state, pinned, host.name)
    if problem:
        raise OperationFailed(problem)
    if state["state"] == "there" and pinned:
        host.noop(f"{credential} is the pinned one")
        return
    absent = state["state"] == "absent"
    change = Change("create" if absent else "pin", path)
    announce([change])
    argument = {"path": path, "credential": credential, "name": key_name, "make": absent}
    yield MakeAndPin(argument, pin, [str(change)])


def refusal(state: Mapping[str, Any], pinned: str, node: str) -> str:
    """Why the key on the node must not be used, or nothing. Pure."""
    rebuilt = f"if the machine was rebuilt: fedctl bootstrap {node} with its new host key"
    if state["state"] == "unreadable":
        return f"the witness key of {node} cannot be decrypted on this machine; {rebuilt}"
    if pinned and state["state"] == "absent":
        return f"the witness of {node} has lost its key, which is pinned here; {rebuilt}"
    if pinned and state["public"] != pinned:
        return f"the witness of {node} has another key than the one pinned here; {rebuilt}"
    return ""
