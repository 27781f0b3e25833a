"""A witness on every Linux node: its own key, its own memory, no trust in the database it watches.

The key is made on the node; what the operator pins of it goes to the sequencers, so this role comes
before theirs.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.errors import OperationFailed
from deploys.exporters import unit_file
from deploys.layout import CONFIG, PYTHON
from deploys.log_key import log_vkey
from deploys.operations.files import ManagedFile, managed
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.operations.witness import Pin, witness_key
from deploys.roles.release import RELEASE_MARKER
from deploys.templates import render
from deploys.witnesses import CREDENTIAL, key_name, pin, pinned, vkey_of
from ledger.errors import NoteInvalid
from ledger.note import VerifierKey

UNIT = "federation-witness.service"
CONFIG_FILE = f"{CONFIG}/witness.toml"
SEALED_KEY = f"{CONFIG}/credentials/{CREDENTIAL}"


@deploy("Witness")
def witness(context: NodeContext) -> None:
    """Watch the ledger from this node."""
    managed(name="Witness: configuration", files=files(context))
    system_users(
        name="Witness: user",
        owner="witness",
        users=[SystemUser("fedwitness", "Federation witness of the ledger")],
    )
    witness_key(
        name="Witness: key",
        path=SEALED_KEY,
        credential=CREDENTIAL,
        key_name=key_name(context.federation, context.node),
        pinned=_pinned_public(context),
        pin=pinner(context),
    )
    units(name="Witness: service", units=[Unit(UNIT)])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings and its unit."""
    federation = context.federation
    settings = render(
        "witness.toml",
        node=context.node,
        key_name=key_name(federation, context.node),
        port=federation.ports.witness,
        log_vkey=log_vkey(federation, context.home),
    )
    return [
        ManagedFile(CONFIG_FILE, settings),
        unit_file(
            UNIT,
            [CONFIG_FILE, SEALED_KEY, RELEASE_MARKER],
            python=PYTHON,
            config=CONFIG_FILE,
            key=SEALED_KEY,
        ),
    ]


def pinner(context: NodeContext) -> Pin:
    """Pins this node's key and no other."""

    def remember(public: str) -> None:
        try:
            vkey = vkey_of(context.federation, context.node, bytes.fromhex(public))
            pin(context.home, context.node, vkey)
        except (NoteInvalid, ValueError, FileExistsError) as error:
            raise OperationFailed(
                f"the witness key of {context.node.name} cannot be pinned: {error}"
            ) from error

    return remember


def _pinned_public(context: NodeContext) -> str:
    """The pinned key's 32 bytes as hex, or nothing."""
    text = pinned(context.home, context.node)
    if not text:
        return ""
    try:
        return VerifierKey.parse(text).public.hex()
    except NoteInvalid as error:
        raise OperationFailed(f"the pinned witness key of {context.node.name}: {error}") from error
