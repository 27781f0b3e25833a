"""The operator's SSH key: a secret of the store, in OpenSSH's format; its public half is a file.

A plain key at `Home.ssh_key` (of an earlier release, or one that a person brings) is taken in by
whoever needs it next. A key with a passphrase is not: nothing here asks at a terminal.
"""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inventory.home import Home
from trust import files, in_memory
from trust.errors import SecretMissing, SecretUnreadable
from trust.secret_store import SecretStore

SSH = "ssh"


def private_text(home: Home) -> str:
    """The private key; raises SecretMissing, another StoreError, KeyExposed."""
    found = SecretStore.of(home).find(SSH, plain=home.ssh_key, check=public_of)
    if found is None:
        raise SecretMissing(
            f"there is no SSH key: put yours at {home.ssh_key}, mode 0600, to be taken in, or have "
            "one made with: fedctl secrets ssh-key"
        )
    return found.text


def ensure(home: Home, comment: str) -> str:
    """The public key as a line for `authorized_keys`, the pair made if there is none.

    The file of the public half is written when it is missing or another key's. Raises as
    `private_text`.
    """
    try:
        text = private_text(home)
    except SecretMissing:
        text = SecretStore.of(home).get(SSH, _new_text, public_of)
    public, path = public_of(text), home.ssh_public
    if path.exists() and path.read_text().split()[:2] == public.split():
        return path.read_text().strip()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write(path, f"{public} {comment}\n".encode(), 0o644)
    return f"{public} {comment}"


def lent_path(home: Home) -> Path:
    """Where ssh can read the key, while this process lives; raises as `private_text` and `lend`."""
    return in_memory.lend(SSH, private_text(home).encode(), home.key_folder)


def public_of(text: str) -> str:
    """Type and base64 of a private key's public half; raises SecretUnreadable."""
    encoded = text.encode()
    try:
        key = (
            serialization.load_ssh_private_key(encoded, password=None)
            if "BEGIN OPENSSH PRIVATE KEY" in text
            else serialization.load_pem_private_key(encoded, password=None)
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise SecretUnreadable(
            f"the operator's SSH key is none that can be used: {error}; one with a passphrase "
            "loses it by: ssh-keygen -p -N '' -f FILE"
        ) from error
    return public.decode()


def _new_text() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        .decode()
    )
