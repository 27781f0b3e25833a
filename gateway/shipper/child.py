"""The shipper's process as the gateway keeps it: started, started again when it dies, ended.

It is given the settings that the gateway runs with, and reads no file: one that has become wrong
meanwhile (a gateway that is told to reload refuses it) cannot keep the audit from the ledger.
"""

import asyncio
import logging
import subprocess
import sys

from gateway.settings import GatewaySettings
from inventory.ending import ended

logger = logging.getLogger("gateway.shipper")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0
END_SECONDS = 10.0


class ShipperChild:
    """Keeps `python -m gateway.shipper` running until it is stopped."""

    def __init__(self, settings: GatewaySettings) -> None:
        isolated = ("-I",) if sys.flags.isolated else ()
        self._command = (sys.executable, *isolated, "-m", "gateway.shipper")
        self._settings = settings.model_dump_json().encode() + b"\n"
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.starts = 0

    def start(self) -> None:
        """Start it, in the background."""
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it: it finishes its batch."""
        if self._keeping is not None:
            await ended(self._keeping)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                ending = f"status {await self._run()}"
            except (OSError, RuntimeError) as error:
                # It cannot be started now, or died before it was told (uvloop: RuntimeError).
                ending = f"{type(error).__name__}: {error}"
            steady = loop.time() - begun > STEADY_SECONDS
            pause = FIRST_PAUSE_SECONDS if steady else min(LONGEST_PAUSE_SECONDS, pause * 2)
            logger.error("shipper ended", extra={"why": ending, "again_in_seconds": pause})
            await asyncio.sleep(pause)

    async def _run(self) -> int:
        """Start one, tell it its settings, and wait for its end."""
        # Its standard input is how it learns that we are gone, also by SIGKILL.
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=subprocess.PIPE)
        self.starts += 1
        if self._process.stdin is not None:
            self._process.stdin.write(self._settings)
        return await self._process.wait()
