"""The operator's store of secrets, and those in it that are made once and handed to nodes.

Nodes get them as encrypted systemd credentials; the operator keeps them in `Home.secrets`, each
encrypted to the age identity (`trust.secret_store`). None is in a database or a log.
"""

import os
import re
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploys.errors import DeployError
from inventory.home import Home
from trust import webhooks
from trust.apikeys import new_pepper_text
from trust.peppers import Peppers
from trust.printed import printed, read_card
from trust.secret_store import SecretStore
from trust.shares import Holder, Share, new_share

PEPPER = "key-pepper"
CHAT_KEY = "chat-key"
GUARDIAN_SHARE = "custody-share"
OPERATOR_SIGNING = "operator-signing"
WEBHOOK_SECRET = "webhook-secret"  # noqa: S105 a name
PASSPHRASE = "repository-passphrase"  # noqa: S105 a name
PASSPHRASE_BYTES = 48
_SEED_SHAPE = re.compile(r"[0-9a-f]{64}")
_PASSPHRASE_SHAPE = re.compile(r"[A-Za-z0-9_-]{64}")


def store_of(home: Home) -> SecretStore:
    """The operator's store; nothing is made or read by naming it."""
    return SecretStore.of(home)


def pepper_text(home: Home) -> str:
    """The peppers under which API keys' secrets are hashed, one made now if there is none.

    Gateways get them; whoever issues keys reads `peppers_of`. Losing them makes every issued key
    worthless. Raises InvalidPepper, StoreError.
    """
    return store_of(home).get(PEPPER, lambda: new_pepper_text() + "\n", Peppers.parse)


def peppers_of(home: Home) -> Peppers:
    """The peppers, the first made now if there is none; raises as `pepper_text`."""
    return Peppers.parse(pepper_text(home))


def keep_peppers(home: Home, peppers: Peppers) -> None:
    """Keep these from now on; the next apply gives them to gateways (`fedctl.pepper_rotation`)."""
    store_of(home).put(PEPPER, peppers.text())


def guardian_share(home: Home) -> Share:
    """The guardian's share of custody, made now if there is none.

    The operator's node gets it, as a credential; its card on paper is `fedctl custody init`'s.
    Raises ShareUnreadable, StoreError.
    """
    text = store_of(home).get(GUARDIAN_SHARE, lambda: _lines(new_share(Holder.GUARDIAN)), read_card)
    return read_card(text)


def keep_guardian_share(home: Home, share: Share) -> None:
    """Keep the share that replaces a lost one; the next apply gives it to the guardian."""
    store_of(home).put(GUARDIAN_SHARE, _lines(share))


def _lines(share: Share) -> str:
    return printed(share) + "\n"


def operator_signing(home: Home) -> Ed25519PrivateKey:
    """What `fedctl` signs requests to the guardian with, made now if there is none.

    Raises DeployError for a text of another shape, StoreError.
    """

    def check(text: str) -> None:
        if not _SEED_SHAPE.fullmatch(text.strip()):
            raise DeployError(f"{OPERATOR_SIGNING} is no key of ours: put the right file back")

    text = store_of(home).get(OPERATOR_SIGNING, new_signing_text, check)
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def new_signing_text() -> str:
    """The seed of a new Ed25519 key, as it is kept."""
    return secrets.token_hex(32) + "\n"


def webhook_text(home: Home) -> str:
    """What notices of keys are signed with, made now if there is none; the newest first.

    Data nodes get it, and whoever receives the notices. Raises InvalidWebhookSecret, StoreError.
    """
    make = lambda: webhooks.new_text(os.urandom) + "\n"  # noqa: E731
    return store_of(home).get(WEBHOOK_SECRET, make, webhooks.parse)


def rotate_webhook(home: Home) -> None:
    """Sign with a new secret too; the one until now goes on being valid, an older one does not."""
    text = webhooks.rotated(webhook_text(home), webhooks.new_text(os.urandom))
    store_of(home).put(WEBHOOK_SECRET, text)


def passphrase_name(repository: int) -> str:
    """What the store calls the passphrase of backup repository 1 or 2."""
    return f"{PASSPHRASE}-{repository}"


def passphrase_text(home: Home, repository: int) -> str:
    """The passphrase of a backup repository, made now if there is none.

    The repository's node gets it; data nodes get none: pgBackRest asks the repository over TLS.
    Without it a repository is noise. Raises DeployError for a text of another shape, StoreError.
    """
    name = passphrase_name(repository)

    def check(text: str) -> None:
        if not _PASSPHRASE_SHAPE.fullmatch(text.strip()):
            raise DeployError(
                f"{name} is no passphrase of ours: put the right file back from a backup"
            )

    def make() -> str:
        return secrets.token_urlsafe(PASSPHRASE_BYTES)

    return store_of(home).get(name, make, check).strip()
