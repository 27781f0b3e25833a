"""Signed webhooks, as the Standard Webhooks specification (1.0.0) has them: symmetric, `v1`.

A receiver that only knows the URL's secrecy cannot tell us from anybody who guessed it. So each
message carries `webhook-id`, `webhook-timestamp` and `webhook-signature`, an HMAC-SHA256 over
`ID.TIMESTAMP.BODY`: another body, another id or an old message sent again late is refused there.

The secret's text is `whsec_` and the base64 of 32 random bytes; a line each, the newest first. With
two lines every message carries two signatures, so that a receiver may change at any time in
between. Pure: time and randomness come in as values.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence

from trust.errors import InvalidWebhookSecret
from trust.hidden import SECRET_BYTES, Hidden, Random, draw_secret

PREFIX = "whsec_"
MAX_SECRETS = 2
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def new_text(random: Random) -> str:
    """A fresh secret, as it is kept and as a receiver is given it."""
    return PREFIX + base64.b64encode(draw_secret(random).reveal()).decode()


def parse(text: str) -> tuple[Hidden, ...]:
    """The one or two secrets in `text`, the newest first; raises InvalidWebhookSecret."""
    lines = text.split()
    if not 1 <= len(lines) <= MAX_SECRETS:
        raise InvalidWebhookSecret(f"{len(lines)} webhook secrets, not 1 or {MAX_SECRETS}")
    return tuple(_one(line) for line in lines)


def rotated(text: str, fresh: str) -> str:
    """The text with another secret: `fresh` first, then the newest one until now, and no older."""
    parse(text)
    return f"{fresh}\n{text.split()[0]}\n"


def headers(
    secrets: Sequence[Hidden], message_id: str, seconds: int, body: bytes
) -> dict[str, str]:
    """The three header fields of one message, sent at `seconds` (Unix time)."""
    signed = b".".join((message_id.encode(), b"%d" % seconds, body))
    signatures = [hmac.digest(secret.reveal(), signed, "sha256") for secret in secrets]
    shown = " ".join("v1," + base64.b64encode(each).decode() for each in signatures)
    return dict(zip(HEADERS, (message_id, str(seconds), shown), strict=True))


def _one(line: str) -> Hidden:
    problem = f"a webhook secret is {PREFIX} and {SECRET_BYTES} bytes in base64"
    if not line.startswith(PREFIX):
        raise InvalidWebhookSecret(problem)
    try:
        return Hidden(base64.b64decode(line.removeprefix(PREFIX), validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidWebhookSecret(problem) from error
