"""Serve the guardian: mutual TLS 1.3, who asks is whom their certificate names.

Those whose keys it knows must also sign what they ask for (RFC 9421, `trust.callers`).

POST /release   {"key": "TENANT/CLASS", "epoch": N, "purpose": "..."} -> {"half": HEX, ...}
POST /rewrap    a warrant (trust/warrants.py) -> 202: content is sealed anew in the background
GET  /metrics   Prometheus
"""

import asyncio
import json
import logging
import os

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from daemons.guardian.decide import Ask, Kind, may_rotate
from daemons.guardian.rewrap import Rewrap
from daemons.guardian.settings import GuardianSettings
from daemons.guardian.shell import AWAY, Guardian, load_share, utc_now
from daemons.guardian.upkeep import Upkeep
from daemons.serving import serve_until, until_asked
from inventory.config import resolve
from inventory.ending import ended
from inventory.notify import Notifier
from ledger.connect import Settings
from ledger.errors import LedgerError
from trust.callers import Callers
from trust.datakeys import KeyName
from trust.errors import BlobUnreadable, CustodyError, SignatureRefused
from trust.tls import server_context
from trust.warrants import read

LOG = logging.getLogger(__name__)
DATABASE_ROLE = "fed_guardian"
PATH, REWRAP_PATH = "/release", "/rewrap"
MAX_BYTES = 4096
MAX_PURPOSE = 100
FIELDS = frozenset({"key", "epoch", "purpose"})


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


def caller_of(request: web.Request) -> str:
    """The common name of the caller's certificate, or nothing. TLS has checked the rest."""
    certificate = request.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for field, value in part
             if field == "commonName"]  # fmt: skip
    return names[0] if len(names) == 1 else ""


def application(guardian: Guardian, callers: Callers, rewrap: Rewrap) -> web.Application:
    """The HTTP application."""

    async def release(request: web.Request) -> web.Response:
        caller, body = caller_of(request), await request.read()
        fields = list(request.headers.items())
        try:
            signed = callers.verified(
                caller, request.method, request.raw_path, fields, body, utc_now()
            )
        except SignatureRefused as error:
            refused = guardian.unsigned(caller, str(error))
            return _answer(refused.status, {"error": refused.reason})
        try:
            ask = ask_of(body, caller)
        except ValueError as error:
            guardian.metrics.judged(Kind.MALFORMED)
            return _answer(400, {"error": str(error)})
        verdict, half = await guardian.release(ask, signed)
        if half is None:
            again = verdict.retry_seconds
            headers = {"Retry-After": str(again)} if again is not None else {}
            return _answer(verdict.status, {"error": verdict.reason}, headers)
        named = {"key": ask.name.id, "epoch": ask.name.epoch, "holder": half.holder.value}
        return _answer(verdict.status, {**named, "half": half.secret.reveal().hex()})

    async def take(request: web.Request) -> web.Response:
        caller, body = caller_of(request), await request.read()
        fields = list(request.headers.items())
        try:
            # Its nonce is not kept: the same warrant again, while it counts, changes nothing.
            callers.verified(caller, request.method, request.raw_path, fields, body, utc_now())
            warrant = read(body)
            ask = Ask(caller, KeyName(warrant.key_id, warrant.new), REWRAP_PATH)
        except SignatureRefused as error:
            refused = guardian.unsigned(caller, str(error))
            return _answer(refused.status, {"error": refused.reason})
        except (BlobUnreadable, ValueError) as error:
            return _answer(400, {"error": str(error)})
        if not may_rotate(ask, guardian.policy):
            return _answer(403, {"error": f"no rule lets {ask.caller} rotate {warrant.key_id}"})
        try:
            await rewrap.take(warrant, ask.caller)
        except CustodyError as error:
            return _answer(409, {"error": str(error)})
        except (LedgerError, OSError) as error:
            LOG.error("warrant not taken: %s", error)
            return _answer(503, {"error": AWAY}, {"Retry-After": "1"})
        return _answer(202, {"key": warrant.key_id, "epochs": warrant.epochs})

    async def metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(
            body=guardian.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application(client_max_size=MAX_BYTES)
    app.router.add_post(PATH, release)
    app.router.add_post(REWRAP_PATH, take)
    app.router.add_get("/metrics", metrics)
    return app


def _answer(
    status: int, value: dict[str, object], headers: dict[str, str] | None = None
) -> web.Response:
    return web.json_response(
        value, status=status, headers={"Cache-Control": "no-store", **(headers or {})}
    )


def ledger_settings(settings: GuardianSettings, environment: dict[str, str]) -> Settings:
    """How it reaches the ledger: with the node's certificate, as the guardian."""
    return Settings(
        hosts=settings.hosts,
        addresses=settings.ledger_addresses,
        port=settings.ledger_port,
        user=DATABASE_ROLE,
        sslcert=resolve(settings.certificate_path, environment),
        sslkey=resolve(settings.key_path, environment),
        sslrootcert=resolve(settings.ca_path, environment),
        connect_timeout_seconds=settings.ledger_seconds,
        application_name=f"guardian@{settings.node}",
        statement_timeout_seconds=settings.ledger_seconds,
    )


async def serve(settings: GuardianSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises CustodyError, ValueError or OSError when it cannot."""
    environment = dict(os.environ)
    ledger = ledger_settings(settings, environment)
    share = load_share(resolve(settings.share_path, environment))
    guardian = Guardian(
        settings.node,
        share,
        settings.policy,
        ledger,
        ledger_seconds=settings.ledger_seconds,
    )
    upkeep = Upkeep(settings.node, ledger, guardian.metrics, settings.upkeep_seconds)
    context = server_context(
        resolve(settings.certificate_path, environment),
        resolve(settings.key_path, environment),
        resolve(settings.ca_path, environment),
    )
    hosts = [*map(str, settings.addresses), settings.node]
    callers = Callers.of(settings.callers, hosts)
    rewrap = Rewrap(
        settings.node,
        share,
        ledger,
        guardian.metrics,
        resolve(settings.warrants_path, environment),
        ledger_seconds=settings.ledger_seconds,
    )
    work = (guardian.recall(), upkeep.run(), rewrap.run())
    background = [asyncio.create_task(each) for each in work]
    try:
        await serve_until(
            stop,
            application(guardian, callers, rewrap),
            settings.addresses,
            settings.port,
            context,
            Notifier(environment),
            f"guarding, {len(settings.rules)} rules",
        )
    finally:
        await ended(*background)


async def run(settings: GuardianSettings) -> None:
    """Serve until systemd (or a person) asks to stop."""
    await until_asked(lambda stop: serve(settings, stop))
