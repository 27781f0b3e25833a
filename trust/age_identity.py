"""The age identity with which the operator's store is encrypted: https://age-encryption.org/v1.

A file as `age-keygen` writes it, so that `age --decrypt -i FILE` opens the store without us. It may
hold several keys, newest first: everything is sealed to the first and opened by any, which is what
lets a rotation be cut short at any moment. The file may itself be encrypted with a passphrase
(`age --passphrase`); the passphrase then comes from a file, for there may be no terminal.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock

import pyrage

from trust import files
from trust.errors import IdentityMissing, IdentityUnreadable

SEALED = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")


@dataclass(frozen=True)
class Identity:
    """Opened keys, newest first. They stay out of `repr`."""

    keys: tuple[pyrage.x25519.Identity, ...] = field(repr=False)

    def seal(self, content: bytes) -> bytes:
        """`content` encrypted to the newest key, as text (ASCII armour)."""
        sealed: bytes = pyrage.encrypt(content, [self.keys[0].to_public()], armored=True)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """What was sealed to any of the keys; raises pyrage.DecryptError."""
        content: bytes = pyrage.decrypt(sealed, list(self.keys))
        return content

    @property
    def recipient(self) -> str:
        """The newest key's public half (`age1...`)."""
        return str(self.keys[0].to_public())

    def with_new_key(self) -> "Identity":
        """One more key, before the others."""
        return Identity((pyrage.x25519.Identity.generate(), *self.keys))

    def newest_only(self) -> "Identity":
        """Without the older keys."""
        return Identity(self.keys[:1])

    def text(self, now: datetime) -> bytes:
        """What the file holds, in the form of `age-keygen`."""
        parts = [f"# created: {now.isoformat(timespec='seconds')}"]
        for key in self.keys:
            parts += [f"# public key: {key.to_public()}", str(key)]
        return ("\n".join(parts) + "\n").encode()


def make(path: Path, now: datetime) -> None:
    """Have an identity at `path`, mode 0600; one that is there stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.create(path, Identity((pyrage.x25519.Identity.generate(),)).text(now))


def read(path: Path, passphrase_file: Path | None = None) -> Identity:
    """The identity at `path`; raises IdentityMissing, IdentityUnreadable, or KeyExposed."""
    try:
        content = files.read_secret(path)
    except FileNotFoundError as error:
        raise IdentityMissing(
            f"the age identity {path} is not there, and without it nothing in the store opens: put "
            "it back from where you keep a copy, or name its file with FEDERATION_AGE_IDENTITY"
        ) from error
    if content.lstrip().startswith(SEALED):
        content = _unlock(content, _passphrase(path, passphrase_file), path)
    try:
        lines = content.decode("ascii").split("\n")
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        keys = tuple(pyrage.x25519.Identity.from_str(line) for line in found)
    except (pyrage.IdentityError, ValueError) as error:
        raise IdentityUnreadable(f"{path} is no age identity (X25519)") from error
    if not keys:
        raise IdentityUnreadable(f"{path} holds no age identity")
    return Identity(keys)


def is_protected(path: Path) -> bool:
    """Whether the identity's file is itself encrypted."""
    return files.read_secret(path).lstrip().startswith(SEALED)


def _passphrase(path: Path, passphrase_file: Path | None) -> str:
    if passphrase_file is None:
        raise IdentityUnreadable(
            f"{path} is encrypted with a passphrase: write that into a file of mode 0600 (in "
            "memory, such as under /run) and name it with FEDERATION_AGE_PASSPHRASE_FILE"
        )
    try:
        return files.read_secret(passphrase_file).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityUnreadable(f"the passphrase cannot be read: {error}") from error


# scrypt is slow on purpose: a process unlocks once, also when threads log in to nodes side by side.
# Looked at before the lock, so that a process forked later never finds it held.
_UNLOCKED: dict[tuple[bytes, str], bytes] = {}
_UNLOCKING = Lock()


def _unlock(content: bytes, passphrase: str, path: Path) -> bytes:
    key = (content, passphrase)
    if (known := _UNLOCKED.get(key)) is not None:
        return known
    with _UNLOCKING:
        if key not in _UNLOCKED:
            try:
                _UNLOCKED[key] = pyrage.passphrase.decrypt(content, passphrase)
            except pyrage.DecryptError as error:
                raise IdentityUnreadable(f"{path} does not open with that passphrase") from error
        return _UNLOCKED[key]
