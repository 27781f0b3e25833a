"""Every secret of a federation that the operator has: what it is, who uses it, how it is replaced.

Names and words only; no value is read here.
"""

from dataclasses import dataclass
from pathlib import Path

from deploys import log_key
from deploys.authority import AUTHORITY_KEY, OPERATOR
from deploys.node_keys import SEQUENCER, WITNESS
from deploys.own_secrets import (
    CHAT_KEY,
    GUARDIAN_SHARE,
    OPERATOR_SIGNING,
    PEPPER,
    WEBHOOK_SECRET,
    passphrase_name,
)
from inventory.home import Home
from trust.authority import KEY
from trust.operator_ssh import SSH

IDENTITY = "identity"


@dataclass(frozen=True)
class Known:
    """A secret by name. `due_days`: after how long it should be replaced, for those that can be
    with one command. `refusal` says, for the others, why not and what can be done.
    """

    name: str
    kind: str
    used_by: str
    due_days: int | None = None
    refusal: str = ""


def _passphrase(number: int) -> Known:
    return Known(
        passphrase_name(number),
        "passphrase of a backup repository",
        f"pgBackRest on repository {number}'s node",
        refusal="pgBackRest cannot encrypt what it has stored anew, so this passphrase lasts as "
        "long as its repository. When it is known to others, keep the backups that you need "
        "elsewhere and let a new repository begin: docs/how-to/secrets.md says how",
    )


def lab_card(holder: str, tenant: str) -> str:
    """What the store calls the share of the client of `tenant`, or ("") of the gateway: in a lab
    only, where nobody else can keep it.
    """
    return f"custody-{holder}-{tenant}" if tenant else f"custody-{holder}"


def _lab_card(holder: str, tenant: str) -> Known:
    return Known(
        lab_card(holder, tenant),
        "share of custody, in a lab",
        "fedctl custody",
        refusal="every data key is wrapped for this share: fedctl custody recover replaces a lost "
        "one, fedctl custody rotate what it opens",
    )


STORED = (
    Known(AUTHORITY_KEY, "ECDSA P-256 private key", "fedctl, to sign certificates"),
    Known(
        log_key.CREDENTIAL,
        "Ed25519 signing key",
        "the sequencers, to sign checkpoints",
        refusal="witnesses and everybody who verifies know the ledger by this key: another key is "
        "another log. When it is known to others, the witnesses are what refuses a false history",
    ),
    Known(PEPPER, "HMAC keys of API keys' digests", "the gateways; fedctl keys"),
    _passphrase(1),
    _passphrase(2),
    Known(
        GUARDIAN_SHARE,
        "share of custody",
        "the guardian",
        refusal="every data key is wrapped for this share. Client and gateway put another one "
        "in its place: fedctl custody recover --lost guardian",
    ),
    _lab_card("client", "default"),
    _lab_card("gateway", ""),
    Known(
        OPERATOR_SIGNING,
        "Ed25519 signing key",
        "fedctl, to sign what it asks of the guardian",
        due_days=365,
    ),
    Known(
        WEBHOOK_SECRET,
        "HMAC key of webhooks (Standard Webhooks)",
        "the key decay on data nodes; whoever receives its notices",
        due_days=365,
    ),
    Known(CHAT_KEY, "API key", "fedctl chat", due_days=90),
    Known(OPERATOR, "ECDSA P-256 client key", "fedctl, towards ledger, gateways and witnesses"),
    Known(
        SSH,
        "SSH private key",
        "fedctl, to log in to the nodes",
        refusal="nodes take one key at a time, and a run that loses its way in cannot give them "
        "the next: docs/how-to/secrets.md says how to replace it by hand",
    ),
)
OPENS_THEM = Known(IDENTITY, "age identity (X25519)", "fedctl, to open the store", due_days=365)
_ANEW = (
    "each was made on its node, which nobody can have do that from here. On the node delete the "
    "sealed file, at the operator the pin ({folder}/NODE.vkey), then fedctl apply: "
    "docs/how-to/secrets.md says what happens meanwhile"
)
# Of these the operator has public halves only, one a node (`deploys.node_keys`).
ON_NODES = (
    Known(
        SEQUENCER.credential,
        "Ed25519 signing key of a node",
        "its sequencer, to sign what it asks of witnesses",
        refusal=_ANEW.format(folder=SEQUENCER.folder),
    ),
    Known(
        WITNESS.credential,
        "Ed25519 signing key of a node",
        "its witness, to cosign checkpoints",
        refusal="what it signed is in the log by this key, and another one may have forgotten what "
        "it saw. When it is known to others, rebuild the node: fedctl bootstrap NODE",
    ),
)
KNOWN = {known.name: known for known in (*STORED, OPENS_THEM, *ON_NODES)}


def plain_path(home: Home, name: str) -> Path:
    """Where an earlier release kept a secret of the store in plain text."""
    places = {
        AUTHORITY_KEY: home.authority / KEY,
        CHAT_KEY: home.chat_key,
        OPERATOR: home.authority / f"{OPERATOR}.key",
        SSH: home.ssh_key,
    }
    return places.get(name, home.secrets / name)
