"""Listening sockets that outlive the process, so that a restart refuses nobody.

A gateway binds its sockets and gives systemd a copy of each (FDSTORE, sd_notify(3)): while one
process has gone and the next is not there yet, the kernel goes on taking connections into their
backlog. The next process gets the copies as file descriptors 3 and up (sd_listen_fds(3)) and uses
those that its settings name; what they do not name any more is closed, and bound is what is new.
Started by hand, without systemd, there is nothing to inherit and nobody to keep anything.
"""

import os
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from inventory.notify import Notifier

Address = IPv4Address | IPv6Address
Place = tuple[Address, int]
BACKLOG = 2048
FIRST_DESCRIPTOR = 3
VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Inherited:
    """The sockets that were passed to this process, until somebody takes them."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = {place_of(one): one for one in sockets}

    @classmethod
    def from_environment(
        cls, environment: MutableMapping[str, str], process_id: int | None = None
    ) -> "Inherited":
        """What `environment` announces; the announcement is removed, children must not see it."""
        announced = [environment.pop(name, "") for name in VARIABLES]
        if announced[1] != str(process_id or os.getpid()) or not announced[0].isdigit():
            return cls(())
        last = FIRST_DESCRIPTOR + int(announced[0])
        return cls(tuple(_listening(range(FIRST_DESCRIPTOR, last))))

    def __len__(self) -> int:
        return len(self._sockets)

    def open(self, addresses: Sequence[Address], port: int) -> list[socket.socket]:
        """Listening sockets on each address, all on one port (the kernel's choice for 0); those
        that were passed on are taken. Raises OSError where a place cannot be bound.
        """
        sockets: list[socket.socket] = []
        for address in addresses:
            found = self._sockets.pop((address, port), None) or _bound(address, port)
            found.setblocking(False)
            port = port or int(found.getsockname()[1])
            sockets.append(found)
        return sockets

    def close(self, notifier: Notifier) -> None:
        """Let go of what nobody took; systemd, too."""
        for place, one in self._sockets.items():
            notifier.forget(name_of(place))
            one.close()
        self._sockets.clear()


def keep(sockets: Sequence[socket.socket], notifier: Notifier) -> None:
    """Have systemd hold these for the next process; again does no harm."""
    for one in sockets:
        notifier.keep(name_of(place_of(one)), one.fileno())


def place_of(one: socket.socket) -> Place:
    """Where a socket listens."""
    name = one.getsockname()
    return ip_address(name[0]), int(name[1])


def name_of(place: Place) -> str:
    """What systemd shall call the socket; colons separate its names."""
    return f"{place[0]}-{place[1]}".replace(":", ".")


def _bound(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return socket.create_server((str(address), port), family=family, backlog=BACKLOG)


def _listening(descriptors: range) -> Iterator[socket.socket]:
    """Those of the descriptors that are listening TCP sockets; they stay with this process."""
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
            one = socket.socket(fileno=descriptor)
        except OSError:
            continue
        inet = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        if inet and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield one
        else:
            one.close()
