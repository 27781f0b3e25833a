"""What systemd does for a service with a file descriptor store, as far as a restart needs it.

It hears the service's notifications, holds the descriptors that come with FDSTORE=1 under their
names (sd_notify(3)), and passes them to the next process as 3 and up (sd_listen_fds(3)).
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

# Started in the new process: moves the descriptors to 3 and up, and becomes the service.
LAUNCH = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 200) for number in sys.argv[1].split(",") if number]
for place, number in enumerate(high, 3):
    os.dup2(number, place)
    os.close(number)
os.environ |= {"LISTEN_FDS": str(len(high)), "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Systemd:
    """Make it inside the event loop; close it at the end."""

    def __init__(self, path: Path) -> None:
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(path))
        self._channel.setblocking(False)
        self.held: dict[str, int] = {}
        self.heard: list[str] = []
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._hear)

    @property
    def environment(self) -> dict[str, str]:
        """What the service is told of this."""
        return {"NOTIFY_SOCKET": self._channel.getsockname()}

    def command(self, *arguments: str) -> list[str]:
        """How to start `python ARGUMENTS` with what is held; `descriptors` must be passed on."""
        numbers = ",".join(map(str, self.held.values()))
        return [sys.executable, "-c", LAUNCH, numbers, *arguments]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The numbers of what is held, here."""
        return tuple(self.held.values())

    def close(self) -> None:
        """Let go of everything: what a service that is stopped for good finds."""
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        for number in self.held.values():
            os.close(number)
        self.held.clear()

    def _hear(self) -> None:
        message, numbers, _, _ = socket.recv_fds(self._channel, 4096, 4)
        text = message.decode()
        self.heard.append(text)
        lines = dict(line.split("=", 1) for line in text.splitlines())
        name = lines.get("FDNAME", "stored")
        if lines.get("FDSTOREREMOVE") == "1" and name in self.held:
            os.close(self.held.pop(name))
        for number in numbers:
            # systemd, too, keeps the one it has when it is given the same again.
            if lines.get("FDSTORE") == "1" and name not in self.held:
                self.held[name] = number
            else:
                os.close(number)
