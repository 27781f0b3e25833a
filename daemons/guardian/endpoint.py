"""What the guardian answers over HTTP; who asks is whom their certificate names.

Those whose keys it knows must also sign what they ask for (RFC 9421, `trust.callers`).

POST /release   {"key": "TENANT/CLASS", "epoch": N, "purpose": "..."} -> {"half": HEX, ...}
POST /rewrap    a warrant (trust/warrants.py) -> 202: content is sealed anew in the background
GET  /metrics   Prometheus
"""

import json
import logging
from dataclasses import dataclass

from aiohttp import web

from daemons.guardian.decide import Ask, Kind, may_rotate
from daemons.guardian.rewrap import Rewrap
from daemons.guardian.shell import AWAY, Guardian, utc_now
from daemons.serving import caller_of, exposition
from ledger.errors import LedgerError
from trust.callers import Callers
from trust.datakeys import KeyName
from trust.errors import BlobUnreadable, CustodyError, SignatureRefused
from trust.http_signatures import Verified
from trust.warrants import Warrant, read

LOG = logging.getLogger(__name__)
PATH, REWRAP_PATH = "/release", "/rewrap"
MAX_BYTES = 4096
MAX_PURPOSE = 100
FIELDS = frozenset({"key", "epoch", "purpose"})


@dataclass(frozen=True)
class Endpoint:
    """The guardian behind its three paths."""

    guardian: Guardian
    callers: Callers
    rewrap: Rewrap

    def application(self) -> web.Application:
        """The HTTP application."""
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_post(PATH, self.release)
        app.router.add_post(REWRAP_PATH, self.take)
        app.router.add_get("/metrics", self.metrics)
        return app

    async def release(self, request: web.Request) -> web.Response:
        """Give a half out, or say why not."""
        caller, body = caller_of(request), await request.read()
        try:
            signed = self._signed(request, caller, body)
        except SignatureRefused as error:
            return self._unsigned(caller, error)
        try:
            ask = ask_of(body, caller)
        except ValueError as error:
            self.guardian.metrics.judged(Kind.MALFORMED)
            return _answer(400, {"error": str(error)})
        verdict, half = await self.guardian.release(ask, signed)
        if half is None:
            again = verdict.retry_seconds
            headers = {"Retry-After": str(again)} if again is not None else {}
            return _answer(verdict.status, {"error": verdict.reason}, headers)
        named = {"key": ask.name.id, "epoch": ask.name.epoch, "holder": half.holder.value}
        return _answer(verdict.status, {**named, "half": half.secret.reveal().hex()})

    async def take(self, request: web.Request) -> web.Response:
        """Take a warrant from somebody who may rotate its key."""
        caller, body = caller_of(request), await request.read()
        try:
            # Its nonce is not kept: the same warrant again, while it counts, changes nothing.
            self._signed(request, caller, body)
            warrant = read(body)
            ask = Ask(caller, KeyName(warrant.key_id, warrant.new), REWRAP_PATH)
        except SignatureRefused as error:
            return self._unsigned(caller, error)
        except (BlobUnreadable, ValueError) as error:
            return _answer(400, {"error": str(error)})
        if not may_rotate(ask, self.guardian.policy):
            return _answer(403, {"error": f"no rule lets {ask.caller} rotate {warrant.key_id}"})
        return await self._taken(warrant, ask.caller)

    async def _taken(self, warrant: Warrant, caller: str) -> web.Response:
        try:
            await self.rewrap.take(warrant, caller)
        except CustodyError as error:
            return _answer(409, {"error": str(error)})
        except (LedgerError, OSError) as error:
            LOG.error("warrant not taken: %s", error)
            return _answer(503, {"error": AWAY}, {"Retry-After": "1"})
        return _answer(202, {"key": warrant.key_id, "epochs": warrant.epochs})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus."""
        del request
        return exposition(self.guardian.metrics.text())

    def _signed(self, request: web.Request, caller: str, body: bytes) -> Verified | None:
        fields = list(request.headers.items())
        return self.callers.verified(
            caller, request.method, request.raw_path, fields, body, utc_now()
        )

    def _unsigned(self, caller: str, error: SignatureRefused) -> web.Response:
        refused = self.guardian.unsigned(caller, str(error))
        return _answer(refused.status, {"error": refused.reason})


def ask_of(body: bytes, caller: str) -> Ask:
    """The request in these bytes; ValueError says what is wrong with it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the body is not JSON") from error
    if not isinstance(found, dict) or set(found) != FIELDS:
        raise ValueError(f"not an object of exactly {', '.join(sorted(FIELDS))}")
    key, epoch, purpose = found["key"], found["epoch"], found["purpose"]
    if not isinstance(key, str) or type(epoch) is not int or not isinstance(purpose, str):
        raise ValueError("key and purpose are text, epoch is a whole number")
    if not 1 <= len(purpose) <= MAX_PURPOSE or not purpose.isprintable() or not purpose.isascii():
        raise ValueError(f"purpose is 1 to {MAX_PURPOSE} printable ASCII characters")
    tenant, slash, object_class = key.partition("/")
    if not (tenant and slash and object_class) or "/" in object_class:
        raise ValueError("key is TENANT/CLASS")
    return Ask(caller, KeyName(key, epoch), purpose)


def _answer(
    status: int, value: dict[str, object], headers: dict[str, str] | None = None
) -> web.Response:
    return web.json_response(
        value, status=status, headers={"Cache-Control": "no-store", **(headers or {})}
    )
