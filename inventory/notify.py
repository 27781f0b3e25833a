"""Tell systemd how this process is doing: sd_notify(3), without libsystemd.

READY=1 once it serves, WATCHDOG=1 while its event loop turns, STOPPING=1 when it begins to end;
FDSTORE=1 with what its successor shall find open.
Outside systemd (no NOTIFY_SOCKET) everything here does nothing.
"""

import asyncio
import os
import socket
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

PINGS_PER_TIMEOUT = 3


class Notifier:
    """The notification socket of this process's unit, as its environment names it."""

    def __init__(self, environment: Mapping[str, str], process_id: int | None = None) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract socket.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_seconds = _watchdog_seconds(environment, process_id or os.getpid())

    def send(self, *lines: str) -> None:
        """Send `NAME=value` lines in one datagram; a systemd that is away is not our failure."""
        self._tell(lines, ())

    def ready(self, status: str) -> None:
        """The process serves now."""
        self.send("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The process has begun to end."""
        self.send("STOPPING=1", f"STATUS={status}")

    def keep(self, name: str, descriptor: int) -> None:
        """Have systemd hold a copy of this descriptor for the unit's next process (FDSTORE).

        The unit needs `FileDescriptorStoreMax=`. `name` has no colon.
        """
        self._tell(("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0"), (descriptor,))

    def forget(self, name: str) -> None:
        """systemd need not hold the descriptors of this name any more."""
        self.send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def _tell(self, lines: Sequence[str], descriptors: Sequence[int]) -> None:
        if not self._address:
            return
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            with suppress(OSError):
                channel.sendmsg(
                    ["\n".join(lines).encode()], rights if descriptors else (), 0, self._address
                )

    async def keep_watchdog(self, healthy: Callable[[], bool] = lambda: True) -> None:
        """Ping from the event loop until cancelled: a loop that hangs stops pinging, and so does
        one that is not `healthy` any more.

        Returns at once when the unit has no watchdog.
        """
        if self.watchdog_seconds is None:
            return
        while True:
            if healthy():
                self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / PINGS_PER_TIMEOUT)


def _watchdog_seconds(environment: Mapping[str, str], process_id: int) -> float | None:
    """The unit's WatchdogSec in seconds, when it is meant for this process; else None."""
    if environment.get("WATCHDOG_PID", str(process_id)) != str(process_id):
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None
