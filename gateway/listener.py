"""Hearing of changes: one connection of its own that listens, and asks several times a second.

A notification makes it ask at once; asking without one is what the keyring's lease rests on: were
only notifications believed, a dead connection would look like a quiet one.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from gateway.keyring import Keyring
from gateway.metrics import GatewayMetrics
from inventory.ending import ended
from ledger import changes, upstreams
from ledger.connect import Connection
from ledger.errors import LedgerError
from ledger.upstreams import Drain

logger = logging.getLogger("gateway.listener")

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 0.6
PAUSE_SECONDS = 0.2


class Listener:
    """Keeps a keyring fresh, and passes on who is short of a limit and which engines are drained.

    `looked` is set when the ledger was asked for the first time, whether it answered or not.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        keyring: Keyring,
        recall: Callable[[str], None],
        drain: Callable[[Sequence[Drain]], None],
        metrics: GatewayMetrics,
        poll_seconds: float,
    ) -> None:
        self._connect, self._keyring, self._recall = connect, keyring, recall
        self._drain, self._drains_known = drain, False
        self.looked = asyncio.Event()
        self._metrics, self._poll_seconds = metrics, poll_seconds
        self._task: asyncio.Task[None] | None = None
        self._listening = False

    def start(self) -> None:
        """Begin; the ledger need not be there yet."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, and close the connection."""
        if self._task is not None:
            await ended(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (LedgerError, TimeoutError, OSError) as error:
                self._note(False, type(error).__name__)
            except Exception:
                logger.exception("fault in the listener")
                self._note(False, "fault")
            self.looked.set()
            await asyncio.sleep(PAUSE_SECONDS)

    def _note(self, listening: bool, why: str = "") -> None:
        if listening != self._listening:
            level = logging.INFO if listening else logging.WARNING
            logger.log(level, "listening" if listening else "not listening", extra={"why": why})
        self._listening = listening
        self._metrics.component_up.labels("listener").set(listening)

    async def _listen(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await self._connect()
        self._drains_known = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await changes.listen(connection)
            while True:
                await self._look(connection)
                for channel, payload in await changes.notifications(connection, self._poll_seconds):
                    if channel == changes.QUOTA:
                        self._recall(payload)
        finally:
            # A connection in an unknown state: nothing to say to the server any more.
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await connection.close()

    async def _look(self, connection: Connection) -> None:
        asked_at = time.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS):
            heard = await changes.since(connection, self._keyring.version)
        subjects = heard.subjects
        if subjects is None or any(s.startswith(upstreams.SUBJECT) for s in subjects):
            # Until they are read, also when that fails: the keyring's version has moved on by then.
            self._drains_known = False
        self._keyring.apply(heard, asked_at)
        self._note(True)
        if not self._drains_known:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._drain(await _drained(connection))
            self._drains_known = True
        self.looked.set()


async def _drained(connection: Connection) -> Sequence[Drain]:
    try:
        return await upstreams.drained(connection)
    except LedgerError as error:
        if type(error) is not LedgerError:
            raise
        # The schema is older than this release, in the middle of an upgrade: nothing is drained.
        logger.warning("drained engines are not known", extra={"why": str(error)})
        return ()
