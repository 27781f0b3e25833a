"""A session with whichever server takes writes, which does not take "done" for an answer too soon.

Postgres answers COMMIT also when its wait for a standby was cut short (by a cancel request, from
whoever), with a mere warning beside it: the row is on that one server, visible, and lost with it.
Here such an answer is an error, which `translate` makes an OutcomeUnknown of.
"""

import asyncio
import random
from functools import partial
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic

from ledger.race import each_host, first

# How a pool's connection is tried again while a failover lasts, and for how long it goes on.
AGAIN_SECONDS, PERSIST_SECONDS = 0.3, 3.0
NOT_REPLICATED = "canceling wait for synchronous replication"


class Unreplicated(psycopg.OperationalError):
    """The server said done, and that it did not wait until a second server had it."""


class Session(AsyncConnection[dict[str, Any]]):
    """A connection, made to the first host that will do, whose every answer is checked so."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._warning = ""
        self.add_notice_handler(self._noticed)

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """As psycopg's, but hosts are asked beside each other (`race`)."""
        one = super().connect
        attempts = [partial(one, each, **options) for each in each_host(conninfo)]
        return await first(attempts, cls.close)

    async def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """As psycopg's, which everything that is sent goes through; raises Unreplicated as well."""
        self._warning = ""
        answer = await super().wait(gen, *args, **options)
        if self._warning:
            raise Unreplicated(self._warning)
        return answer

    def _noticed(self, diagnostic: Diagnostic) -> None:
        message = diagnostic.message_primary or ""
        if message.startswith(NOT_REPLICATED):
            self._warning = message


class Persistent(Session):
    """For pools: tries again soon and for a few seconds, before the pool hears of a failure.

    A pool waits 1, 2, 4 s and more between its attempts. Most of that would be on top of a failover
    that has long ended.
    """

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """As the session's; raises the last attempt's error when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PERSIST_SECONDS
        while True:
            try:
                return await super().connect(conninfo, **options)
            except psycopg.OperationalError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(AGAIN_SECONDS * (0.5 + random.random()))  # noqa: S311 - spreads load
