"""Where an engine is, in the words of the connections to it."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from gateway.response import Response

Address = tuple[str, int, bool]  # host, port, TLS


class Target:
    """An engine's root, taken apart once; `idle` are the connections to it that wait for a request,
    the youngest last: its transport's."""

    __slots__ = ("address", "authority", "idle")

    def __init__(self, address: Address, authority: bytes) -> None:
        self.address, self.authority = address, authority
        self.idle: list[Response] = []

    @classmethod
    def of(cls, url: str) -> "Target":
        """The target of `https://HOST:PORT`."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = parts.hostname or ""
        port = parts.port or (443 if tls else 80)
        shown = f"[{host}]" if ":" in host else host
        return cls((host, port, tls), f"{shown}:{port}".encode())

    def head(self, method: bytes, path: bytes) -> bytes:
        """The part of a request's head that is the same for every request."""
        lines = (b"%b %b HTTP/1.1" % (method, path), b"host: " + self.authority)
        return b"\r\n".join((*lines, b"accept-encoding: identity\r\n"))
