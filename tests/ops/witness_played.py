"""A simulated node's witness key, as `deploys/remote/witness_key.py` makes it."""

from dataclasses import dataclass, field
from typing import Any

from ledger.note import Kind, SignerKey


@dataclass
class PlayedKey:
    """What is sealed on the node; `seed` is what the next key is made of."""

    seed: bytes = bytes(range(32))
    text: str = ""
    readable: bool = True
    calls: list[Any] = field(default_factory=list)

    def script(self, argument: Any) -> Any:
        """The script `witness_key`."""
        self.calls.append(argument)
        if argument["make"] and not self.text:
            key = SignerKey(argument["name"], Kind.COSIGNATURE_ED25519, self.seed)
            self.text = key.text()
        if not self.text:
            return {"state": "absent", "public": ""}
        if not self.readable:
            return {"state": "unreadable", "public": ""}
        public = SignerKey.parse(self.text).verifier.public
        return {"state": "there", "public": public.hex()}
