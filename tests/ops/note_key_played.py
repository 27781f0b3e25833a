"""A simulated node's own keys, as `deploys/remote/note_key.py` makes them."""

from dataclasses import dataclass, field
from typing import Any

from ledger.note import Kind, SignerKey


@dataclass
class PlayedKey:
    """What is sealed on the node; `seed` is what the next key is made of. One key: one role's."""

    seed: bytes = bytes(range(32))
    text: str = ""
    readable: bool = True
    calls: list[Any] = field(default_factory=list)

    def script(self, argument: Any) -> Any:
        """The script `note_key`."""
        self.calls.append(argument)
        if argument["make"] and not self.text:
            key = SignerKey(argument["name"], Kind(argument["type"]), self.seed)
            self.text = key.text()
        if not self.text:
            return {"state": "absent", "public": ""}
        if not self.readable:
            return {"state": "unreadable", "public": ""}
        public = SignerKey.parse(self.text).verifier.public
        return {"state": "there", "public": public.hex()}
