"""What a request's head must be beyond what llhttp checks. Pure."""

from typing import Final

from gateway.errors import BadRequest, Refused

# Headers that decide something here: twice is once too often (RFC 9110 5.3, RFC 9112 3.2, 6.3).
SINGLE: Final = frozenset(
    {
        b"host",
        b"authorization",
        b"x-api-key",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"x-request-id",
        b"traceparent",
    }
)
MAX_HEADERS: Final = 100


def objection(version: str, headers: dict[bytes, bytes]) -> Refused | None:
    """Why a well-formed head is not taken, or None."""
    if version == "1.1":
        if b"host" not in headers:
            return BadRequest("A request needs a Host header.")
    elif version != "1.0":
        return BadRequest("HTTP/1.1, please.")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
        return BadRequest("No transfer coding but chunked, please.")
    if b"upgrade" in headers and b"upgrade" in headers.get(b"connection", b"").lower():
        return BadRequest("There is nothing to upgrade to.")
    length = headers.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) < 19):
        return BadRequest("The content length is not a number.")
    return None
