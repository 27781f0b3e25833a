"""The operator's secrets, each in a file `NAME.age` of one folder, encrypted to an age identity.

Rules kept here: a secret never touches the disk in clear; one that is there is never replaced
unasked, whoever comes first; what a file holds is bound to its name (age alone would let two files
be exchanged). A plain file that an earlier release left, or that a person puts there to restore a
secret, is taken in by whoever asks for it next, and removed: sealed first, durably, then unlinked,
so that a crash in between leaves both, and the next one removes the plain file. That it was taken
in is logged, in one line.
"""

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

import pyrage

from inventory.home import Home
from trust import age_identity, files
from trust.age_identity import Identity
from trust.errors import IdentityUnreadable, SecretConflict, SecretUnreadable

SUFFIX = ".age"
LOCK = ".lock"

logger = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _anything(_: str) -> None:
    """Every text will do."""


@dataclass(frozen=True)
class Secret:
    """An opened secret; its text stays out of `repr`. `made` is UTC, to the second."""

    name: str
    made: datetime
    text: str = field(repr=False)


@dataclass(frozen=True)
class SecretStore:
    """The store in `folder`, opened by the identity at `identity_path`."""

    folder: Path
    identity_path: Path
    passphrase_file: Path | None = None
    now: Callable[[], datetime] = _utc_now

    @classmethod
    def of(cls, home: Home) -> Self:
        """The operator's store; nothing is made or read by naming it."""
        return cls(home.secrets, home.identity, home.age_passphrase)

    def path(self, name: str) -> Path:
        """Where the secret is, encrypted."""
        return self.folder / f"{name}{SUFFIX}"

    def names(self) -> tuple[str, ...]:
        """The secrets that are in the store, sorted."""
        return tuple(sorted(path.name.removesuffix(SUFFIX) for path in self._sealed()))

    def find(
        self, name: str, plain: Path | None = None, check: Callable[[str], object] = _anything
    ) -> Secret | None:
        """The secret, or None; a plain file of it (default: `folder/name`) is taken in first.

        `check` raises for a text that cannot be this secret: such a plain file stays as it is.
        Raises StoreError, or KeyExposed for a file that others can read.
        """
        plain = plain or self.folder / name
        # In this order: the plain file is removed only after the sealed one is there.
        if plain.exists():
            self._take_in(name, plain, check)
        if not self.path(name).exists():
            return None
        secret = self._open(name, self.identity())
        check(secret.text)
        return secret

    def get(
        self, name: str, make: Callable[[], str], check: Callable[[str], object] = _anything
    ) -> str:
        """The secret's text, made now by `make` if there is none. Raises as `find` does.

        Processes that get here at once all end up with the same one.
        """
        found = self.find(name, check=check)
        if found is None:
            with self._locked():
                text = make()
                check(text)
                files.create(self.path(name), self._seal(Secret(name, self.now(), text)))
            found = self._open(name, self.identity())
        return found.text

    def opened(self, name: str) -> Secret:
        """The sealed secret, whatever is beside it; raises FileNotFoundError, StoreError."""
        return self._open(name, self.identity())

    def put(self, name: str, text: str) -> None:
        """Have `text` as the secret from now on, in place of any other."""
        with self._locked():
            sealed = self._seal(Secret(name, self.now(), text))
            files.write(self.path(name), sealed, 0o600)

    def take_in(self, name: str, plain: Path) -> None:
        """Have a plain file's text as the secret, in place of any other, and remove the file.

        Nothing happens when the file is not there. Raises StoreError, KeyExposed.
        """
        if plain.exists():
            self._take_in(name, plain, _anything, partial(files.write, mode=0o600))

    def identity(self) -> Identity:
        """The identity as it is; raises IdentityMissing, IdentityUnreadable, KeyExposed."""
        return age_identity.read(self.identity_path, self.passphrase_file)

    def rotate_identity(self) -> str:
        """Seal everything to a new key and forget the old one; the new public key.

        The identity's file first holds both, then every secret is sealed anew, then only the new
        one stays: cut short anywhere, all is readable, and the next call goes on where this ended.
        Raises IdentityUnreadable for a file that is protected by a passphrase: it cannot be
        written without asking for one.
        """
        with self._locked():
            if not self.identity_path.exists():
                self._make_identity()
            if age_identity.is_protected(self.identity_path):
                raise IdentityUnreadable(
                    f"{self.identity_path} is encrypted with a passphrase: decrypt it with age "
                    "into memory, name that copy with FEDERATION_AGE_IDENTITY, rotate, and encrypt "
                    "it again"
                )
            held = self.identity()
            if len(held.keys) == 1:
                held = held.with_new_key()
                files.write(self.identity_path, held.text(self.now()), 0o600)
            for name in self.names():
                secret = self._open(name, held)
                files.write(self.path(name), held.seal(_encode(secret)), 0o600)
            files.write(self.identity_path, held.newest_only().text(self.now()), 0o600)
            return held.recipient

    def _take_in(
        self,
        name: str,
        plain: Path,
        check: Callable[[str], object],
        keep: Callable[[Path, bytes], object] = files.create,
    ) -> None:
        with self._locked():
            try:
                text = files.read_secret(plain).decode()
                made = datetime.fromtimestamp(plain.stat().st_mtime, UTC)
            except FileNotFoundError:
                return  # another process took it in
            except UnicodeDecodeError as error:
                raise SecretUnreadable(f"{plain} is not the text of a secret") from error
            check(text)
            keep(self.path(name), self._seal(Secret(name, made, text)))
            if self._open(name, self.identity()).text.strip() != text.strip():
                raise SecretConflict(
                    f"{plain} and {self.path(name)} hold different secrets: move away the one that "
                    "is not in use (an older fedctl may have made the plain one)"
                )
            plain.unlink()
            files.sync_folder(plain.parent)
            logger.warning("%s is now %s, encrypted; the file is gone", plain, self.path(name))

    def _locked(self) -> AbstractContextManager[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return files.locked(self.folder / LOCK)

    def _seal(self, secret: Secret) -> bytes:
        if not self.identity_path.exists() and not any(self._sealed()):
            self._make_identity()
        return self.identity().seal(_encode(secret))

    def _make_identity(self) -> None:
        age_identity.make(self.identity_path, self.now())

    def _open(self, name: str, identity: Identity) -> Secret:
        path = self.path(name)
        try:
            value = json.loads(identity.open(files.read_secret(path)))
            found = Secret(value["name"], datetime.fromisoformat(value["made"]), value["text"])
        except pyrage.DecryptError as error:
            raise SecretUnreadable(
                f"{path} does not open with {self.identity_path}: it was changed, or encrypted to "
                "another identity; put the right file back from a backup"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SecretUnreadable(f"{path} opens, but holds no secret of ours") from error
        if found.name != name:
            raise SecretUnreadable(f"{path} holds the secret {found.name!r}: it was moved")
        return found

    def _sealed(self) -> list[Path]:
        # Hidden ones are what a crash left of a file that was being written: ciphertext.
        return [path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]


@dataclass(frozen=True)
class StoredKey:
    """One secret of a store, kept for `trust.authority`: what `files.PlainKey` is to a file."""

    store: SecretStore
    name: str
    plain: Path

    def __str__(self) -> str:
        return str(self.store.path(self.name))

    def read(self) -> bytes:
        """The key; raises FileNotFoundError, StoreError, KeyExposed."""
        found = self.store.find(self.name, self.plain)
        if found is None:
            raise FileNotFoundError(str(self))
        return found.text.encode()

    def write(self, content: bytes) -> None:
        """Keep the key."""
        self.store.put(self.name, content.decode())


def _encode(secret: Secret) -> bytes:
    made = secret.made.astimezone(UTC).isoformat(timespec="seconds")
    return json.dumps({"name": secret.name, "made": made, "text": secret.text}).encode()
