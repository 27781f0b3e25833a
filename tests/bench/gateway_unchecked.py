"""`python -m tests.bench.gateway_unchecked`: the gateway, but only the first key is checked.

What it saves a request is what authentication and key strength cost one. The first request of each
process is checked in full, so that the limits and the audit have the same key to go by.
"""

import sys

from gateway import __main__, server
from gateway.auth import KeyringGate
from gateway.seams import Principal


class Unchecked:
    """Whoever came first is everybody (seams.Gate)."""

    def __init__(self, *given: object, **named: object) -> None:
        self._gate = KeyringGate(*given, **named)  # type: ignore[arg-type]
        self._everybody: Principal | None = None

    def recognised(self, authorization: bytes | None) -> Principal | None:
        """See seams.Gate."""
        return self._everybody

    async def authenticate(self, authorization: bytes | None, client: str | None) -> Principal:
        """See seams.Gate."""
        if self._everybody is None:
            self._everybody = await self._gate.authenticate(authorization, client)
        return self._everybody


if __name__ == "__main__":
    vars(server)["KeyringGate"] = Unchecked
    sys.exit(__main__.main())
