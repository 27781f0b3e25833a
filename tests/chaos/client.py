"""`python -m tests.chaos.client CONFIG.json`: a client that appends events until told to end.

It uses the library as any program of the federation does: a pool over TLS to all data nodes, and
`ledger.append.append`. What it meant to send and what it was told goes to its journal. Half of the
batches whose outcome was unknown are sent again until the answer is definite; the other half are
left as they are, to be found present or absent later.
"""

import asyncio
import hashlib
import secrets
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ledger.append import append
from ledger.connect import Pool, Settings, pool
from ledger.errors import LedgerError, OutcomeUnknown
from ledger.event import Event
from ledger.identifiers import new_id
from tests.chaos.journal import Journal, Outcome

KIND = "chaos.load"
AGAIN_SECONDS = 0.2


class Config(BaseModel):
    """What one client is to do; written by whoever starts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: str
    run: str
    folder: Path
    settings: Settings
    batch_events: int = 5
    pause_seconds: float = 0.02
    padding_bytes: int = 0
    give_up_seconds: float = 60.0


@dataclass
class Client:
    """The loop of one client."""

    config: Config
    connections: Pool
    journal: Journal
    ending: asyncio.Event
    batch: int = 0

    async def run(self) -> None:
        """Append batches until `ending` is set; what is under way is finished first."""
        while not self.ending.is_set():
            self.batch += 1
            events = [self._event(place) for place in range(self.config.batch_events)]
            await self._write(self.batch, events)
            await self._pause(self.config.pause_seconds)

    async def _write(self, batch: int, events: Sequence[Event]) -> None:
        digests = {str(event.id): digest_of(event.canonical()) for event in events}
        while True:
            self.journal.send(batch, digests)
            try:
                await append(self.connections, events, give_up_seconds=self.config.give_up_seconds)
            except OutcomeUnknown as error:
                self.journal.answer(batch, Outcome.UNKNOWN, why=str(error)[:300])
                if batch % 2 or self.ending.is_set():
                    return
            except LedgerError as error:
                why = f"{type(error).__name__}: {error}"
                self.journal.answer(batch, Outcome.REFUSED, why=why[:300])
                await self._pause(AGAIN_SECONDS)
                return
            else:
                self.journal.answer(batch, Outcome.ACKED)
                return
            await self._pause(AGAIN_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)

    def _event(self, place: int) -> Event:
        return Event(
            id=new_id(),
            time=datetime.now(UTC),
            node="operator",
            actor=self.config.client,
            kind=KIND,
            subject=self.config.run,
            data={"batch": self.batch, "place": place, "padding": self._padding()},
        )

    def _padding(self) -> str:
        """Something that takes up room however it is compressed."""
        return secrets.token_hex(self.config.padding_bytes // 2)


def digest_of(body: bytes) -> str:
    """SHA-256 of an event's bytes, hexadecimal: what journal and log are compared by."""
    return hashlib.sha256(body).hexdigest()


async def work(config: Config) -> None:
    """Run one client until SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    connections = pool(config.settings, minimum=1, maximum=1)
    with Journal.open(config.folder, config.client) as journal:
        async with connections:
            await Client(config, connections, journal, ending).run()


if __name__ == "__main__":
    asyncio.run(work(Config.model_validate_json(Path(sys.argv[1]).read_bytes())))
