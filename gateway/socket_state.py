"""What is asked and said of the sockets under connections."""

import asyncio
import select
import socket


def without_delay(transport: asyncio.BaseTransport) -> None:
    """Small writes leave at once (Nagle's algorithm would hold them back for up to 40 ms)."""
    handle = transport.get_extra_info("socket")
    if handle is not None and handle.family in (socket.AF_INET, socket.AF_INET6):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether bytes have arrived that the event loop has not read yet."""
    handle = transport.get_extra_info("socket")
    if handle is None or handle.fileno() < 0:
        return False
    look = select.poll()
    look.register(handle.fileno(), select.POLLIN)
    return bool(look.poll(0))
