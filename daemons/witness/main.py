"""Serve C2SP tlog-witness: mutual TLS 1.3, one judgement at a time, the state on disk before the
answer.

    POST /add-checkpoint    C2SP tlog-witness
    GET  /checkpoint        the largest checkpoint it cosigned, with both signatures (404: none yet)
    GET  /state             the same with generation, digest and trail, as JSON, and its callers
    GET  /metrics           Prometheus
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aiohttp import web

from daemons.serving import caller_of, exposition, node_context, serve_until, until_asked
from daemons.witness.acceptance import Order, accept
from daemons.witness.decide import EVIDENCE, Kind, Verdict, judge
from daemons.witness.door import Door, Shown, door_of
from daemons.witness.metrics import WitnessMetrics
from daemons.witness.settings import WitnessSettings
from daemons.witness.shell import Store, load_key
from daemons.witness.state import Memory
from inventory.config import resolve
from inventory.notify import Notifier
from ledger import add_checkpoint
from ledger.add_checkpoint import Request
from ledger.errors import RequestInvalid
from ledger.note import Note, Signature, SignerKey, VerifierKey

LOG = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class Witness:
    """One witness: its key, its memory, and the one lock between judging and remembering."""

    def __init__(
        self,
        key: SignerKey,
        logs: tuple[VerifierKey, ...],
        store: Store,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.metrics = WitnessMetrics()
        self._key, self._logs, self._store = key, logs, store
        self._clock = clock
        # Between the check and the written state no other request may be judged, or a smaller
        # checkpoint could be written over a larger one (C2SP tlog-witness, add-checkpoint).
        self._one_at_a_time = asyncio.Lock()
        self.memory: Memory = store.load()
        self.metrics.remembered(self.memory)
        self.metrics.evidence(store.evidence())

    async def add(self, body: bytes) -> tuple[int, bytes, str]:
        """Judge one request: status, body and content type of the answer."""
        try:
            request = Request.parse(body)
        except RequestInvalid as error:
            self.metrics.judged(Kind.MALFORMED)
            return 400, f"{error}\n".encode(), "text/plain"
        async with self._one_at_a_time:
            verdict = judge(request, self.memory, self._logs)
            self.metrics.judged(verdict.kind)
            if verdict.kind in EVIDENCE:
                await self._report(verdict, request)
            if verdict.kind is Kind.COSIGN:
                return await self._cosign(verdict, request)
            if verdict.status == 409:
                return 409, b"%d\n" % self.memory.size, add_checkpoint.SIZE_TYPE
        return verdict.status, f"{verdict.reason}\n".encode(), "text/plain"

    async def _cosign(self, verdict: Verdict, request: Request) -> tuple[int, bytes, str]:
        assert verdict.checkpoint is not None  # noqa: S101 - a verdict to cosign has one
        seconds = int(self._clock().timestamp())
        signature = self._key.sign(verdict.text, seconds)
        cosigned = with_cosignature(Note.parse(request.note), self._logs, signature)
        memory = self.memory.after(verdict.checkpoint, cosigned)
        try:
            await asyncio.to_thread(self._store.save, memory)
        except OSError as error:
            self.metrics.failed()
            LOG.error("not cosigned, the state cannot be written: %s", error)
            return 503, b"the state cannot be written\n", "text/plain"
        self.memory = memory
        self.metrics.remembered(memory, seconds)
        return 200, signature.line().encode(), "text/plain"

    async def _report(self, verdict: Verdict, request: Request) -> None:
        LOG.error("the log misbehaves (%s): %s", verdict.kind.value, verdict.reason)
        try:
            await asyncio.to_thread(self._store.keep, verdict, request, self.memory, self._clock())
        except OSError as error:
            self.metrics.failed()
            LOG.error("evidence could not be kept: %s", error)
        self.metrics.evidence(self._store.evidence())


def with_cosignature(shown: Note, logs: Sequence[VerifierKey], signature: Signature) -> str:
    """The checkpoint as a witness keeps it: what the log signed, and its own signature."""
    known = {(key.name, key.key_id) for key in logs}
    kept = tuple(each for each in shown.signatures if (each.name, each.key_id) in known)
    return Note(shown.text, (*kept, signature)).encode()


def accept_restore(
    settings: WitnessSettings, order: Order, clock: Callable[[], datetime] = utc_now
) -> dict[str, object]:
    """Go on from a restored log, as a person on this machine orders; what was given up.

    Raises Refused, InUse while the daemon runs, StateInvalid, NoteInvalid, ValueError or OSError.
    What is given up is on disk before the new state is.
    """
    environment = dict(os.environ)
    store = Store(resolve(settings.state_path, environment), settings.logs[0].name)
    key = load_key(resolve(settings.witness_key_path, environment), settings.name)
    with store.alone():
        memory = store.load()
        accepted = accept(order, settings.name, memory, settings.logs)
        moved = store.give_up(memory, order.proof.encode())
        signature = key.sign(accepted.note.text, int(clock().timestamp()))
        cosigned = with_cosignature(accepted.note, settings.logs, signature)
        after = memory.restored(accepted.checkpoint, cosigned, accepted.restored, accepted.trail)
        store.save(after)
    return {
        "from": memory.size,
        "to": after.size,
        "kept": accepted.restored.kept,
        "evidence_moved": moved,
        "generation": after.generation,
        "signature": signature.line(),
    }


def application(witness: Witness, door: Door | None = None) -> web.Application:
    """The HTTP application; without a `door` it takes checkpoints from anybody."""

    async def add(request: web.Request) -> web.Response:
        shown = Shown(
            caller_of(request),
            request.method,
            request.raw_path,
            tuple(request.headers.items()),
            await request.read(),
        )
        refusal = await door.refusal(shown) if door is not None else None
        status, body, kind = refusal or await witness.add(shown.body)
        return web.Response(status=status, body=body, headers={"Content-Type": kind})

    async def checkpoint(request: web.Request) -> web.Response:
        del request
        if not witness.memory.note:
            return web.Response(status=404, text="nothing cosigned yet\n")
        return web.Response(text=witness.memory.note)

    async def state(request: web.Request) -> web.Response:
        del request
        memory = witness.memory
        callers = door.names if door is not None else []
        return web.json_response({**memory.value(), "digest": memory.digest(), "callers": callers})

    async def metrics(request: web.Request) -> web.Response:
        del request
        return exposition(witness.metrics.text())

    app = web.Application(client_max_size=add_checkpoint.MAX_BYTES)
    app.router.add_post(add_checkpoint.PATH, add)
    app.router.add_get("/checkpoint", checkpoint)
    app.router.add_get("/state", state)
    app.router.add_get("/metrics", metrics)
    return app


async def serve(settings: WitnessSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises StateInvalid, ValueError or OSError when it cannot."""
    environment = dict(os.environ)
    store = Store(resolve(settings.state_path, environment), settings.logs[0].name)
    with store.alone():
        await _serve(settings, environment, store, stop)


async def _serve(
    settings: WitnessSettings, environment: dict[str, str], store: Store, stop: asyncio.Event
) -> None:
    logs = settings.logs
    key = load_key(resolve(settings.witness_key_path, environment), settings.name)
    witness = Witness(key, logs, store)
    if not witness.memory.generation:
        LOG.warning("nothing is remembered: this witness has not seen the log before")
    door = door_of(settings, environment, witness.metrics, utc_now)
    if not door.names:
        LOG.warning("no callers are known: checkpoints are taken from anybody with a certificate")
    await serve_until(
        stop,
        application(witness, door),
        settings.addresses,
        settings.port,
        node_context(settings, environment),
        Notifier(environment),
        f"watching {logs[0].name}, {witness.memory.size} events seen",
    )


async def run(settings: WitnessSettings) -> None:
    """Serve until systemd (or a person) asks to stop."""
    await until_asked(lambda stop: serve(settings, stop))
