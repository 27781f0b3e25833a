"""Names at the addresses of the settings, whatever DNS says."""

import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult


class Addresses(AbstractResolver):
    """Names are looked up in the settings and nowhere else."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The one address of `host`; OSError for a name that is not in the settings."""
        if host not in self._addresses:
            raise OSError(f"{host} is no witness of the settings")
        return [
            ResolveResult(
                hostname=host,
                host=self._addresses[host],
                port=port,
                family=family or socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is open."""
