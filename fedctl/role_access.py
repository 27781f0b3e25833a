"""What `fedctl roles` needs of the ledger: who we are there, and steps of reviews.

Every call opens one connection, works, and closes it. Who we are is the certificate
(`FEDERATION_OPERATOR` chooses among those of this machine).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fedctl.ledger_client import Ledger
from fedctl.work import actor
from ledger.connect import Connection, Settings, connect
from ledger.custody import By

if TYPE_CHECKING:
    from fedctl.app import App

T = TypeVar("T")


@dataclass(frozen=True)
class RoleAccess:
    """How this operator reaches the ledger, and how they are named in events."""

    settings: Settings
    by: By

    def do(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` on a connection of its own; raises LedgerError."""

        async def run() -> T:
            async with await connect(self.settings) as connection:
                return await work(connection)

        return asyncio.run(run())


def reach(app: "App") -> RoleAccess:
    """Raises AuthorityMissing, Unavailable."""
    settings = Ledger(app.federation, app.home, app.now).settings()
    return RoleAccess(settings, By(actor(), socket.gethostname(), app.now))
