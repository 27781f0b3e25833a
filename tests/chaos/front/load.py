"""The clients of both gateways: at each, one that streams, one that does not, one at its limit."""

from dataclasses import dataclass
from pathlib import Path

from tests.chaos.front.client import Config
from tests.chaos.load import Crew

MODULE = "tests.chaos.front.client"
SHORT_TOKENS, LONG_TOKENS = 8, 48
# The clients of one key that asks for more than it may, at both gateways.
LIMITED = "limited"


@dataclass
class Asking(Crew):
    """Client processes of the gateways. `keys` are one without limits and one with."""

    gateways: dict[str, str]
    keys: tuple[str, str]
    authority: Path
    model: str
    pause_seconds: float = 0.1

    def start(self) -> None:
        """Start all processes."""
        usual, limited = self.keys
        for gateway in self.gateways:
            self._start(gateway, "whole", usual)
            self._start(gateway, "stream", usual)
            self._start(gateway, LIMITED, limited)

    def _start(self, gateway: str, kind: str, key: str) -> None:
        stream = kind == "stream"
        config = Config(
            client=f"{kind}-{gateway}",
            run=self.run,
            folder=self.folder,
            gateway=gateway,
            url=self.gateways[gateway],
            authority=self.authority,
            key=key,
            model=self.model,
            stream=stream,
            max_tokens=LONG_TOKENS if stream else SHORT_TOKENS,
            pause_seconds=self.pause_seconds,
        )
        self.spawn(MODULE, config.client, config, follow=kind != LIMITED)
