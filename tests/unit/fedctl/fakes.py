"""Implementations of fedctl's parts that need no machine: nodes are folders, deploys are lists."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from deploys.errors import ConnectionLost, FailureKind, Unreachable
from deploys.protocol import Event, NodeOutcome, NodeSummary, Outcome, Summary
from fedctl import lock_shell
from fedctl.app import App
from fedctl.chat_client import Client
from fedctl.custody_access import CustodyAccess
from fedctl.deploy import Order, Stopper
from fedctl.engines import View
from fedctl.log_access import LogAccess
from fedctl.parts import Parts, ReplicationAccess
from fedctl.program import run
from fedctl.remote import Done
from fedctl.render import Output
from fedctl.role_access import RoleAccess
from inventory.home import Home
from inventory.load import HERE
from inventory.model import Federation, Node
from ledger.errors import Conflict, Rejected, Unavailable, UnknownKey, UnknownTenant
from ledger.event import Event as LedgerEvent
from ledger.key_strength import KeyHistory
from ledger.keys import KeyRecord
from ledger.limits import UNLIMITED, Limits
from ledger.notices import Notice, NoticeRecord
from ledger.pepper_uses import PepperUse
from ledger.quotas import Use
from ledger.tenants import TenantRecord
from ledger.usage import Usage
from trust.apikeys import ApiKey, new_key
from trust.parameters import Parameters
from trust.strength import issued

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LAB, SITE = HERE / "lab.toml", HERE / "federation.toml"


class FakeLink:
    """A session with a node that is a folder: the real lock script runs, on that folder."""

    def __init__(self, machines: "Machines", node: Node, user: str) -> None:
        self.node, self.user, self._machines = node, user, machines

    def run(
        self, argv: Sequence[str], *, root: bool = False, stdin: str = "", seconds: float = 30
    ) -> Done:
        """Run the command here, with the lock's folder replaced; canned answers win."""
        self._machines.ran.append((self.node.name, tuple(argv)))
        if self.node.name in self._machines.down:
            raise ConnectionLost(f"the connection to {self.node.name} was lost")
        canned = self._machines.answer(self.node, argv)
        if canned is not None:
            return canned
        folder = self._machines.folder / self.node.name
        local = [str(folder) if word == lock_shell.FOLDER else word for word in argv]
        done = subprocess.run(local, input=stdin, capture_output=True, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def stream(
        self, argv: Sequence[str], line: Callable[[str, bool], None], *, root: bool = False
    ) -> int:
        """Like `run`, line by line."""
        done = self.run(argv, root=root)
        for text in done.out.splitlines():
            line(text, False)
        for text in done.err.splitlines():
            line(text, True)
        return done.code

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Machines:
    """The nodes: which are down, what some answer, what was run on them."""

    folder: Path
    down: set[str] = field(default_factory=set)
    answers: dict[str, Done] = field(default_factory=dict)
    ran: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    failure: FailureKind = FailureKind.DOWN

    def connect(self, federation: Federation, home: Home, node: Node) -> FakeLink:
        """A session, unless the node is down."""
        if node.name in self.down:
            raise Unreachable(self.failure, f"{node.name} ({node.address}) does not answer")
        return FakeLink(self, node, federation.operator_user)

    def answer(self, node: Node, argv: Sequence[str]) -> Done | None:
        """The canned answer for a program on a node (`node:program`) or on all (`program`)."""
        return self.answers.get(f"{node.name}:{argv[0]}") or self.answers.get(argv[0])


@dataclass
class Deploys:
    """Deploy runs that say what they were told to say."""

    outcome: Outcome = Outcome.UNCHANGED
    events: tuple[Event, ...] = ()
    nodes: tuple[NodeSummary, ...] = ()
    message: str = ""
    orders: list[Order] = field(default_factory=list)
    during: Callable[[], None] = lambda: None

    def run(
        self, order: Order, hear: Callable[[Event], None], log: Path, stopper: Stopper
    ) -> Summary:
        """One run."""
        self.orders.append(order)
        self.during()
        for event in self.events:
            hear(event)
        return Summary(order.mode, self.outcome, self.message, 1.0, self.nodes)


@dataclass
class MemoryLedger:
    """Keys and events in memory."""

    records: dict[str, KeyRecord] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=dict)
    tenants: dict[str, TenantRecord] = field(
        default_factory=lambda: {
            "default": TenantRecord("default", None, NOW, "migration", UNLIMITED, 0)
        }
    )
    events: list[LedgerEvent] = field(default_factory=list)
    proof_keys: dict[str, bytes] = field(default_factory=dict)
    told: list[NoticeRecord] = field(default_factory=list)
    takes: str = ""
    drains: dict[str, tuple[bool, str]] = field(default_factory=dict)
    peppers: tuple[PepperUse, ...] = ()
    error: Exception | None = None

    def open(self, *_: Any) -> "MemoryLedger":
        """Itself, whoever asks."""
        return self

    def issue(
        self,
        name: str,
        actor: str,
        scopes: Sequence[str],
        models: Sequence[str] | None,
        expires_at: datetime | None,
        tenant: str = "default",
        roles: Sequence[str] = (),
    ) -> tuple[ApiKey, KeyRecord]:
        """A key whose bytes are its number."""
        self._check()
        if tenant not in self.tenants:
            raise Rejected("no such tenant")
        key = new_key(bytes([len(self.records) + 1]) * 40)
        record = KeyRecord(
            key.id, name, tuple(scopes), None if models is None else tuple(models), NOW, actor,
            expires_at, None, None, None, tenant, tuple(roles),
        )  # fmt: skip
        self.records[key.id] = record
        return key, record

    def list_keys(self, tenant: str | None = None) -> tuple[KeyRecord, ...]:
        """Every key."""
        self._check()
        return tuple(r for r in self.records.values() if tenant in (None, r.tenant))

    def create_tenant(self, name: str, models: Sequence[str] | None, actor: str) -> None:
        """Remember it."""
        self._check()
        if name in self.tenants:
            raise Conflict(f"tenant {name} is there")
        allowed = None if models is None else tuple(models)
        self.tenants[name] = TenantRecord(name, allowed, NOW, actor, UNLIMITED, 0)

    def list_tenants(self) -> tuple[TenantRecord, ...]:
        """Every tenant."""
        self._check()
        return tuple(self.show_tenant(name) for name in sorted(self.tenants))

    def show_tenant(self, name: str) -> TenantRecord:
        """One, with its limits."""
        self._check()
        if name not in self.tenants:
            raise UnknownTenant(f"no tenant has the name {name!r}")
        return replace(
            self.tenants[name],
            limits=self.show_limits(f"tenant:{name}"),
            keys=len(self.list_keys(name)),
        )

    def set_limits(self, subject: str, wanted: Limits, actor: str) -> None:
        """Remember them."""
        self._check()
        kind, _, name = subject.partition(":")
        if name not in (self.records if kind == "key" else self.tenants):
            raise Rejected(f"there is no {subject}")
        self.limits[subject] = wanted

    def show_limits(self, subject: str) -> Limits:
        """What was set."""
        return self.limits.get(subject, UNLIMITED)

    def used(self, subject: str) -> tuple[Use, ...]:
        """Always the same."""
        return (Use("tokens_minute", "", 7, 500),) if subject in self.limits else ()

    def usage(self, tenant: str | None, key_id: str | None, since: datetime) -> tuple[Usage, ...]:
        """One key's use of one model."""
        self._check()
        row = Usage("default", "0123456789a", "lab", "tiny", 3, 2, 0, 21, 9, NOW)
        return (row,) if tenant in (None, row.tenant) and key_id in (None, row.key_id) else ()

    def key_history(self, key_id: str) -> KeyHistory:
        """A key as it is when it is new."""
        self._check()
        if key_id not in self.records:
            raise UnknownKey(f"no key has the id {key_id!r}")
        record = self.records[key_id]
        state = issued(NOW.timestamp() - 20 * 86400, frozenset(record.scopes), Parameters())
        return KeyHistory(
            key_id, record.name, record.tenant, key_id, None, None, False, state,
            NOW + timedelta(days=345), False, NOW, NOW,
        )  # fmt: skip

    def rotate_key(self, key_id: str, overlap: timedelta, actor: str) -> tuple[ApiKey, datetime]:
        """A key like the one before, which is marked as replaced."""
        old = self.records.get(key_id)
        if old is None:
            raise UnknownKey(f"no key has the id {key_id!r}")
        key, _ = self.issue(old.name, actor, old.scopes, old.models, old.expires_at, old.tenant)
        self.records[key_id] = replace(old, replaced_by=key.id, expires_at=NOW + overlap)
        return key, NOW + overlap

    def pepper_uses(self) -> tuple[PepperUse, ...]:
        """What the test says."""
        self._check()
        return self.peppers

    def revoke(self, key_id: str, reason: str, actor: str) -> KeyRecord:
        """Revoke, or UnknownKey."""
        self._check()
        if key_id not in self.records:
            raise UnknownKey(f"no key has the id {key_id!r}")
        old = self.records[key_id]
        changed = {**old.__dict__, "revoked_at": NOW, "revoked_by": actor, "revoked_reason": reason}
        self.records[key_id] = KeyRecord(**changed)
        return self.records[key_id]

    def set_proof_key(self, key_id: str, public: Ed25519PublicKey, actor: str) -> None:
        """Register, or UnknownKey."""
        if key_id not in self.records:
            raise UnknownKey(f"no key has the id {key_id!r}")
        self.proof_keys[key_id] = public.public_bytes_raw()

    def put_notice(self, notice: Notice) -> None:
        """As it is once a data node has tried it: `takes` says what the webhook answered."""
        self._check()
        state, error, settled = ("delivered", None, NOW) if not self.takes else (
            "pending", self.takes, None
        )  # fmt: skip
        self.told.append(
            NoticeRecord(
                notice.id, notice.key_id, notice.kind, state, NOW, 1, NOW, "n", error, settled
            )
        )

    def notices(
        self, states: Sequence[str], limit: int, only: UUID | None = None
    ) -> tuple[NoticeRecord, ...]:
        """Those there are."""
        self._check()
        found = (each for each in self.told if each.state in states and only in (None, each.id))
        return tuple(found)[:limit]

    def set_drained(self, name: str, drained: bool, reason: str, actor: str) -> None:
        """Remember who said so."""
        self._check()
        self.drains[name] = (drained, reason)

    def record(self, wanted: Sequence[LedgerEvent]) -> None:
        """Append."""
        self._check()
        self.events += wanted

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class MemoryGateways:
    """Gateways that say what they are told to; each look is the next of `views`, the last stays."""

    views: list[tuple[View, ...]] = field(default_factory=list)
    looks: int = 0

    def open(self, *_: Any) -> "MemoryGateways":
        """Itself, whoever asks."""
        return self

    def look(self) -> tuple[View, ...]:
        """The next view."""
        self.looks += 1
        return self.views[min(self.looks, len(self.views)) - 1]


class FakeLab:
    """Records which verbs were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> tuple[str, ...]:
            self.calls.append(verb)
            return ()

        return call


@dataclass
class Stage:
    """Everything one command needs, and what it said."""

    folder: Path
    inventory: Path = LAB
    machines: Machines = field(init=False)
    deploys: Deploys = field(default_factory=Deploys)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    lab: FakeLab = field(default_factory=FakeLab)
    access: LogAccess | None = None
    custody: CustodyAccess | None = None
    roles: RoleAccess | None = None
    replication: ReplicationAccess | None = None
    gateways: MemoryGateways = field(default_factory=MemoryGateways)
    chat: Callable[..., Any] = Client
    out: StringIO = field(default_factory=StringIO)
    err: StringIO = field(default_factory=StringIO)
    completion: dict[str, Any] = field(
        default_factory=lambda: {
            "gateway": "g", "model": "m", "completion_tokens": 8, "milliseconds": 12,
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        self.machines = Machines(self.folder / "nodes")
        self.machines.folder.mkdir()

    def app(self) -> App:
        """A fresh context whose parts are these."""
        parts = Parts(
            connect=self.machines.connect,
            run_deploy=self.deploys.run,
            open_ledger=self.ledger.open,
            reach_log=self.reach_log,
            reach_custody=self.reach_custody,
            reach_roles=self.reach_roles,
            reach_replication=self.reach_replication,
            reach_gateways=self.gateways.open,
            set_up_custody=lambda _: "default/content",
            build=lambda *_: None,
            lab=lambda: self.lab,
            complete=lambda *_: self.completion,
            chat=self.chat,
            ready=lambda *_: "",
        )
        app = App(inventory=self.inventory, output=Output(self.out, self.err), parts=parts)
        app.now = lambda: NOW
        app.__dict__["home"] = Home(self.folder / "home", self.folder / "cache")
        return app

    def reach_log(self, *_: Any) -> LogAccess:
        """The log the test has, if it has one."""
        if self.access is None:
            raise Unavailable("cannot connect to the ledger: there is none in this test")
        return self.access

    def reach_custody(self, *_: Any) -> CustodyAccess:
        """The ledger with keys in custody, if the test has one."""
        if self.custody is None:
            raise Unavailable("cannot connect to the ledger: there is none in this test")
        return self.custody

    def reach_roles(self, *_: Any) -> RoleAccess:
        """The ledger with reviews, if the test has one."""
        if self.roles is None:
            raise Unavailable("cannot connect to the ledger: there is none in this test")
        return self.roles

    def reach_replication(self, *_: Any) -> ReplicationAccess:
        """The data nodes' Patroni, if the test has them."""
        if self.replication is None:
            raise Unavailable("no data node answers: there is none in this test")
        return self.replication

    def fedctl(self, *argv: str) -> int:
        """Run a command line; the exit code. What it said is in `out` and `err` (of this run)."""
        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        app = self.app()
        app.argv = argv
        return run(argv, app)

    @property
    def home(self) -> Home:
        """The operator's folders."""
        return Home(self.folder / "home", self.folder / "cache")


def node_summary(name: str, outcome: NodeOutcome, **more: Any) -> NodeSummary:
    """Shorter to write."""
    return NodeSummary(name, outcome, **more)
