"""A key that a service makes on its node, as a part of the roles that have one."""

from deploys.context import NodeContext
from deploys.errors import OperationFailed
from deploys.node_keys import NodeKeys
from deploys.operations.note_key import Pin, note_key
from ledger.errors import NoteInvalid


def own_key(name: str, context: NodeContext, keys: NodeKeys) -> None:
    """Have the node's own one of `keys`, the pinned one; `name` is the operation's."""
    try:
        public = keys.public(context.home, context.node)
    except NoteInvalid as error:
        raise OperationFailed(
            f"the pinned key of the {keys.owner} on {context.node.name}: {error}"
        ) from error
    note_key(
        name=name,
        keys=keys,
        key_name=keys.name(context.federation, context.node),
        pinned=public,
        pin=pinner(context, keys),
    )


def pinner(context: NodeContext, keys: NodeKeys) -> Pin:
    """Pins this node's key and no other."""

    def remember(public: str) -> None:
        try:
            vkey = keys.vkey(context.federation, context.node, bytes.fromhex(public))
            keys.pin(context.home, context.node, vkey)
        except (NoteInvalid, ValueError, FileExistsError) as error:
            raise OperationFailed(
                f"the key of the {keys.owner} on {context.node.name} cannot be pinned: {error}"
            ) from error

    return remember
