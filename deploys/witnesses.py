"""The federation's witnesses as the operator knows them, and whose requests they take."""

from dataclasses import dataclass

from deploys.node_keys import SEQUENCER, WITNESS
from inventory.home import Home
from inventory.model import Federation, Node, Platform, Role


@dataclass(frozen=True)
class Witness:
    """One witness: the node it is on, where it listens, and its pinned key as text."""

    node: str
    host: str
    address: str
    port: int
    vkey: str


def nodes_of(federation: Federation) -> tuple[Node, ...]:
    """The nodes that run a witness."""
    return federation.on(Platform.DEBIAN)


def witnesses(federation: Federation, home: Home) -> tuple[Witness, ...]:
    """The witnesses whose keys are pinned, in the inventory's order."""
    return tuple(
        Witness(
            node.name,
            federation.fqdn(node),
            str(node.address),
            federation.ports.witness,
            WITNESS.pinned(home, node),
        )
        for node in nodes_of(federation)
        if WITNESS.pinned(home, node)
    )


def callers(federation: Federation, home: Home) -> dict[str, str]:
    """The public keys that sequencers sign with, as hex, by node: those that are pinned.

    Raises NoteInvalid for a pin that is no key.
    """
    found = {
        node.name: SEQUENCER.public(home, node)
        for node in federation.with_role(Role.DATA)
        if node in nodes_of(federation)
    }
    return {name: public for name, public in found.items() if public}
