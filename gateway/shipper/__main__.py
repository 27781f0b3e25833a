"""`python -m gateway.shipper`, started by the gateway, never by a person.

The first line of its standard input is the gateway's settings as JSON. It ends when its standard
input does, which is the gateway's end, or on SIGTERM.
"""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import orjson
import uvloop

from gateway.connecting import ledger_settings
from gateway.settings import GatewaySettings
from gateway.shipper.ship import Shipper
from inventory.config import ConfigError, resolve
from inventory.logs import configure
from ledger import prompts, requests
from ledger.connect import Connection, Settings, connect
from ledger.content import Item
from ledger.errors import LedgerError, OutcomeUnknown

LOCK = "shipper.lock"
LOCK_SECONDS = 0.05
STEP_SECONDS = 30.0
NICENESS = 10  # requests come first


class Courier:
    """Sends batches over one connection, and makes another when that one fails."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None

    async def send(self, events: Sequence[bytes]) -> int:
        """Store the events in one transaction; raises LedgerError."""
        return await self._do(lambda connection: requests.ship(connection, events))

    async def keep(self, item: Item) -> int:
        """Store a sealed prompt; raises LedgerError."""
        return await self._do(lambda connection: prompts.keep(connection, item))

    async def _do(self, work: Callable[[Connection], Awaitable[int]]) -> int:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                if self._connection is None:
                    self._connection = await connect(self._settings)
                return await work(self._connection)
        except TimeoutError as error:
            await self.close()
            raise OutcomeUnknown("the ledger took too long") from error
        except LedgerError:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(Exception):
                await connection.close()


def main() -> int:
    """Ship until told to stop; 78 for settings that cannot be used, which stderr explains."""
    try:
        settings = _settings(sys.stdin.buffer.readline())
        ledger = ledger_settings(
            settings,
            resolve(settings.tls.certificate_path, os.environ),
            resolve(settings.tls.key_path, os.environ),
            resolve(settings.tls.ca_path, os.environ),
            f"shipper@{settings.node}",
        )
    except (ConfigError, OSError) as error:
        print(f"gateway.shipper: {error}", file=sys.stderr)  # noqa: T201
        return 78
    configure(settings.log_level, journal="JOURNAL_STREAM" in os.environ, quiet=("asyncio",))
    _give_way()
    uvloop.run(_run(settings, ledger))
    return 0


def _settings(line: bytes) -> GatewaySettings:
    """The gateway's settings; raises ConfigError when this is not what a gateway sends."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigError("no settings came on standard input: the gateway starts this") from error
    return GatewaySettings.parse(found, "what the gateway sent")


def _give_way() -> None:
    """Requests come first: less of the processor, and never out of turn. (Not SCHED_IDLE: on a node
    whose engines take every core the spool would fill.)
    """
    with suppress(OSError):  # the unit's sandbox may forbid it
        os.nice(NICENESS)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def _run(settings: GatewaySettings, ledger: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # The gateway may be told with Ctrl-C; we end when it does.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_reader(sys.stdin.fileno(), _heard, stop)
    folder = settings.spool.path
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    await _take(lock, stop)
    courier = Courier(ledger)
    try:
        await Shipper(folder, settings.node, courier.send, courier.keep).run(stop)
    finally:
        await courier.close()
        os.close(lock)


async def _take(lock: int, stop: asyncio.Event) -> None:
    """Wait until a shipper whose gateway was killed has ended, or our own gateway does."""
    while not stop.is_set():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(LOCK_SECONDS)


def _heard(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 64):
        stop.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    sys.exit(main())
