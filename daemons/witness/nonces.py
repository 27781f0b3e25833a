"""The nonces of signed requests that this witness took, so that none is taken twice.

A nonce is on disk before its request is judged, and stays there for as long as its signature could
be accepted, about a minute: so a request that was recorded is refused by a witness that was killed
and started again in between, too. The file is written whole, as the state is. At one request a
second it holds about seventy lines; at `MAX_NONCES` requests are refused instead of forgotten.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from daemons.witness.shell import write
from daemons.witness.state import StateInvalid
from trust.http_signatures import Verified

FILE = "nonces.json"
VERSION = 1
MAX_NONCES = 4096
MAX_BYTES = 1 << 20

Key = tuple[str, str]


class TooMany(Exception):
    """More signed requests within a minute than are remembered."""


@dataclass(frozen=True)
class Window:
    """(caller, nonce) -> until when (Unix seconds) its signature could be accepted. Pure."""

    used: dict[Key, float]

    def after(self, signed: Verified, now: datetime) -> "Window | None":
        """What to remember once `signed` is taken at `now`; None when it was taken before.

        Raises TooMany.
        """
        key, moment = (signed.key_id, signed.nonce), now.timestamp()
        if key in self.used:
            return None
        kept = {each: until for each, until in self.used.items() if until >= moment}
        if len(kept) >= MAX_NONCES:
            raise TooMany(f"{len(kept)} signed requests within a minute are the most I remember")
        return Window({**kept, key: signed.remember_until.timestamp()})

    def encode(self) -> bytes:
        """The bytes on disk."""
        rows = [[caller, nonce, until] for (caller, nonce), until in self.used.items()]
        return json.dumps({"version": VERSION, "used": rows}).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """The window in these bytes; raises StateInvalid."""
        try:
            found = json.loads(content)
            if found["version"] != VERSION:
                raise StateInvalid(f"nonces of version {found['version']!r}")
            used = {
                (str(caller), str(nonce)): float(until) for caller, nonce, until in found["used"]
            }
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise StateInvalid(f"not a witness's nonces: {error}") from error
        return cls(used)


class UsedNonces:
    """The window of one witness, in its folder. One process has it: the state's lock says so."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._window = self._load()

    def take(self, signed: Verified, now: datetime) -> bool:
        """Whether the request is new, and then it is on disk; raises OSError, TooMany."""
        after = self._window.after(signed, now)
        if after is None:
            return False
        write(self._path, after.encode())
        self._window = after
        return True

    def _load(self) -> Window:
        """What was taken; a damaged file stops the witness: it cannot know what it took."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return Window({})
        try:
            return Window.decode(content)
        except StateInvalid as error:
            minutes = "delete it once the witness has been stopped for two minutes"
            raise StateInvalid(f"{self._path}: {error}; {minutes}") from error
