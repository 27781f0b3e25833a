"""Whole gateways in memory, from the bytes of a request to the bytes of its answer.

The real connection, paths, authentication, keyring, counting of sources and of misuse; only the
ledger behind them is held here (`KeyBook`), and what travels between is no socket but `Wire`.
No engine is there: a request that would be relayed is an error of the test.
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretBytes

from gateway.app import Gateway
from gateway.auth import KeyringGate
from gateway.connection import Connection
from gateway.distant import DistantSources
from gateway.front import Front
from gateway.keyring import Keyring
from gateway.keyring import Terms as KeyTerms
from gateway.limits.shell import Limiter, Terms
from gateway.metrics import GatewayMetrics
from gateway.misuse import MisuseNotes
from gateway.moments import nanoseconds_of
from gateway.own_key import OwnKey
from gateway.relay import Relay
from gateway.relay_settings import Limits, Routing, Timeouts, Upstream
from gateway.request_log import RequestLog
from gateway.sources import Sources
from gateway.step_up import StepUp
from gateway.transport import Transport
from gateway.upstreams import Upstreams
from ledger.changes import Changes
from ledger.errors import Conflict, Unavailable, UnknownKey
from ledger.identifiers import new_text
from ledger.key_strength import KeyHistory, Use
from ledger.keys import Verifier
from trust import apikeys, strength
from trust.apikeys import ApiKey, Pepper
from trust.parameters import Parameters
from trust.peppers import Peppers
from trust.strength import HOUR_SECONDS, Misuse, State

PEPPER = Pepper(1, SecretBytes(bytes(32)))
PEPPERS = Peppers((PEPPER,), 1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
OFFERED, ALLOWED = "offered", "allowed"
SCOPES = frozenset({"inference"})
NO_ENGINES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Clock:
    """Seconds since the test began, moved by hand; the wall clock follows."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.moment().timestamp()

    def moment(self) -> datetime:
        """The same as a date."""
        return BEGIN + timedelta(seconds=self.seconds)

    def nanoseconds(self) -> int:
        """The same in nanoseconds since 1970."""
        return nanoseconds_of(self.moment())


class KeyBook:
    """The ledger's keys: versions as the keyring's list has them, and what was noted of each."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.verifiers: dict[str, Verifier] = {}
        self.states: dict[str, State] = {}
        self.changes: list[str] = []
        self.away = False
        self.asked: list[str] = []
        self.pause: asyncio.Event | None = None

    def issue(self, key: ApiKey, **changes: Any) -> None:
        """A new key that may use one model."""
        values: dict[str, Any] = {
            "id": key.id,
            "name": "n",
            "digest": apikeys.digest(key.secret, PEPPER),
            "pepper_version": 1,
            "scopes": SCOPES,
            "models": frozenset({ALLOWED}),
            "expires_at": None,
            "revoked_at": None,
            "family": key.id,
        }
        self.verifiers[key.id] = Verifier(**{**values, **changes})
        self.states[key.id] = strength.issued(self.clock.wall(), SCOPES, Parameters())

    def revoke(self, key_id: str) -> None:
        """For good; the list says so."""
        known = self.verifiers[key_id]
        self.verifiers[key_id] = replace(known, revoked_at=self.clock.moment())
        self.states[key_id] = strength.revoke(self.states[key_id])
        self.changes.append(f"key:{key_id}")

    def since(self, version: int) -> Changes:
        """See ledger.changes.since."""
        if self.away:
            raise Unavailable("gone")
        return Changes(len(self.changes), frozenset(self.changes[version:]))

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        """See keyring.KeySource. While `pause` is set the answer is held back, as read before."""
        self.asked += key_ids
        if self.away:
            raise Unavailable("gone")
        found = [self.verifiers[i] for i in key_ids if i in self.verifiers]
        answer = len(self.changes), found
        if self.pause is not None:
            await self.pause.wait()
        return answer

    async def note(self, uses: Sequence[Use]) -> int:
        """See misuse.Send."""
        if self.away:
            raise Unavailable("gone")
        for key_id, what, hour in uses:
            kind = Misuse[what.removeprefix("misuse:")]
            self.states[key_id] = strength.misuse(self.states[key_id], hour * HOUR_SECONDS, kind)
        return len(uses)

    async def history(self, key_id: str) -> KeyHistory:
        """See own_key.KeyLife."""
        if self.away:
            raise Unavailable("gone")
        if key_id not in self.verifiers:
            raise UnknownKey("no such key")
        now = self.clock.moment()
        return KeyHistory(
            key_id, "n", "default", key_id, None, None, False, self.states[key_id],
            now + timedelta(days=365), False, now, now,
        )  # fmt: skip

    async def rotate(
        self, history: KeyHistory, overlap: timedelta, now: datetime
    ) -> tuple[ApiKey, datetime]:
        """See own_key.KeyLife; here every key was replaced before."""
        raise Conflict("replaced before")


class Wire(asyncio.Transport):
    """What a client holds of its connection: what it was sent, and whether it is closed."""

    def __init__(self, client: str) -> None:
        super().__init__({"peername": (client, 1)})
        self.sent = b""
        self._closing = False

    def write(self, data: Any) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class NoEngine:
    """In place of audit, shares and proofs: whoever asks for one would have been relayed."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AssertionError(f"a request was relayed ({name})")


class Door:
    """One gateway on one ledger."""

    def __init__(self, book: KeyBook, clock: Clock, burst: int = 5, **terms: Any) -> None:
        self.book, self.clock, self.metrics = book, clock, GatewayMetrics(["engine"])
        self.keyring = Keyring(book, KeyTerms(**terms), clock)
        self.misuse = MisuseNotes(book.note, self.metrics, clock.wall)
        timeouts, limits = Timeouts(), Limits(max_body_bytes=2048)
        engine = Upstream(name="engine", url="http://127.0.0.1:9", models=(OFFERED, ALLOWED))
        transport = Transport(NO_ENGINES, timeouts, limits)
        upstreams = Upstreams((engine,), {}, Routing(), transport, self.metrics, 1.0)
        nobody: Any = NoEngine()
        limiter = Limiter(nobody, self.metrics, Terms(), now=clock, clock=clock.moment)
        relay = Relay("n", transport, upstreams, nobody, limiter, self.metrics, timeouts, limits,
                      clock.nanoseconds, nobody, {})  # fmt: skip
        self._quiet = os.open(os.devnull, os.O_WRONLY)
        gate = KeyringGate(self.keyring, PEPPERS, self.metrics, clock.moment, clock.wall,
                           Sources(burst, 1))  # fmt: skip
        app = Gateway(
            gate, limiter, relay, upstreams, nobody, self.metrics, limits,
            RequestLog(clock.nanoseconds, journal=False, file_descriptor=self._quiet),
            self.misuse, OwnKey(book, clock.moment, clock),
            StepUp(nobody, self.misuse.note, clock.moment),
            DistantSources({}, self.misuse.note, clock),
        )  # fmt: skip
        self.front = Front(app, timeouts, limits, new_text, app.refused)
        self._transport = transport

    def hear(self) -> None:
        """What the listener does several times a second."""
        asked_at = self.clock()
        self.keyring.apply(self.book.since(self.keyring.version), asked_at)

    async def send(self, request: bytes, client: str = "10.0.0.1") -> tuple[int, bytes]:
        """The status and the body of the answer to these bytes."""
        wire, connection = Wire(client), Connection(self.front)
        connection.connection_made(wire)
        connection.data_received(request)
        while (task := connection.task) is not None:
            await task
        connection.connection_lost(None)
        head, _, body = wire.sent.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body

    async def close(self) -> None:
        """End it."""
        await self.front.close()
        await self._transport.close()
        os.close(self._quiet)


def request(
    authorization: bytes | None, method: str = "GET", path: str = "/v1/models", body: bytes = b""
) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: gateway"]
    if authorization is not None:
        lines.append(b"authorization: " + authorization)
    if body or method == "POST":
        lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def bearer(key: ApiKey) -> bytes:
    """The header's value that shows this key."""
    return b"Bearer " + key.reveal().encode()
