"""Give a service a key of its own: made on its node, its public half pinned at the operator's.

Whoever could exchange a witness's key could let it forget what it saw; with a sequencer's they
could ask in its name. So a key that is not the pinned one is refused, and so is a node that lost
its key; rebuilding the node on purpose (`fedctl bootstrap`, with its new host key) retires the pin
first.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from pyinfra.api import Host, State, operation
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import host

from deploys.changes import announce
from deploys.errors import OperationFailed
from deploys.facts.note_key import NoteKey
from deploys.node_keys import NodeKeys
from deploys.protocol import Change
from deploys.script import NodeScript, decode

# Takes the node's public key as hex and pins it; raises OperationFailed when it must not.
Pin = Callable[[str], None]


class MakeAndPin(NodeScript):
    """Make the key on the node unless it is there, and pin its public half here."""

    def __init__(self, argument: Mapping[str, Any], pin: Pin, describe: list[str]) -> None:
        super().__init__("note_key", dict(argument), describe)
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
                raise OperationFailed(f"{self.argument['path']} was made and cannot be read")
            self.pin(found["public"])
        return succeeded, output


@operation()
def note_key(
    keys: NodeKeys, key_name: str, pinned: str, pin: Pin
) -> Generator[NodeScript, None, None]:
    """Have one of `keys` on the node; `pinned` is the public one expected, as hex, or nothing."""
    state = host.get_fact(NoteKey, path=keys.sealed, credential=keys.credential)
    problem = refusal(state, pinned, host.name, keys.owner)
    if problem:
        raise OperationFailed(problem)
    if state["state"] == "there" and pinned:
        host.noop(f"{keys.credential} is the pinned one")
        return
    absent = state["state"] == "absent"
    change = Change("create" if absent else "pin", keys.sealed)
    announce([change])
    argument = {
        "path": keys.sealed,
        "credential": keys.credential,
        "name": key_name,
        "type": int(keys.kind),
        "make": absent,
    }
    yield MakeAndPin(argument, pin, [str(change)])


def refusal(state: Mapping[str, Any], pinned: str, node: str, owner: str) -> str:
    """Why the key on the node must not be used, or nothing. Pure."""
    rebuilt = f"if the machine was rebuilt: fedctl bootstrap {node} with its new host key"
    if state["state"] == "unreadable":
        return f"the {owner}'s key of {node} cannot be decrypted on this machine; {rebuilt}"
    if pinned and state["state"] == "absent":
        return f"the {owner} of {node} has lost its key, which is pinned here; {rebuilt}"
    if pinned and state["public"] != pinned:
        return f"the {owner} of {node} has another key than the one pinned here; {rebuilt}"
    return ""
