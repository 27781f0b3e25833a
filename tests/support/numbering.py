"""`python -m tests.support.numbering SETTINGS.json`: number events, where no daemon runs."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from ledger import sequence
from ledger.connect import Settings, connect
from ledger.errors import LedgerError

AGAIN_SECONDS = 0.05


async def number(settings: Settings) -> None:
    """Number waiting events for ever, whatever happens to the server."""
    while True:
        with suppress(LedgerError):
            async with await connect(settings) as connection:
                edge = await sequence.load(connection)
                while True:
                    edge = (await sequence.advance(connection, edge, 1000)).edge
                    await asyncio.sleep(AGAIN_SECONDS)
        await asyncio.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    asyncio.run(number(Settings.model_validate_json(Path(sys.argv[1]).read_bytes())))
