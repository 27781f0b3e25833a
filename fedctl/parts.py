"""The parts a command is made of, each replaceable: tests pass their own, nothing is patched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from fedctl.remote import Connect, connect
from inventory.home import Home
from inventory.model import Federation, Node
from inventory.progress import Progress

if TYPE_CHECKING:
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from deploys.protocol import Event, Summary
    from fedctl.app import App
    from fedctl.chat_client import Place
    from fedctl.chat_session import Asks
    from fedctl.custody_access import CustodyAccess
    from fedctl.deploy import Order, Stopper
    from fedctl.engines import View as GatewayView
    from fedctl.log_access import LogAccess
    from fedctl.replication import View
    from fedctl.role_access import RoleAccess
    from ledger.event import Event as LedgerEvent
    from ledger.key_strength import KeyHistory
    from ledger.keys import KeyRecord
    from ledger.limits import Limits
    from ledger.notices import Notice, NoticeRecord
    from ledger.pepper_uses import PepperUse
    from ledger.quotas import Use
    from ledger.tenants import TenantRecord
    from ledger.usage import Usage
    from trust.apikeys import ApiKey


class LedgerAccess(Protocol):
    """What commands need of the ledger (see `ledger_client.Ledger`)."""

    def issue(
        self,
        name: str,
        actor: str,
        scopes: Sequence[str],
        models: Sequence[str] | None,
        expires_at: datetime | None,
        tenant: str = "default",
        roles: Sequence[str] = (),
    ) -> "tuple[ApiKey, KeyRecord]":
        """A new key and its record."""

    def list_keys(self, tenant: str | None = None) -> "tuple[KeyRecord, ...]":
        """Every key there ever was, of one tenant or of all."""

    def create_tenant(self, name: str, models: Sequence[str] | None, actor: str) -> None:
        """A new tenant."""

    def list_tenants(self) -> "tuple[TenantRecord, ...]":
        """Every tenant."""

    def show_tenant(self, name: str) -> "TenantRecord":
        """One tenant."""

    def set_limits(self, subject: str, wanted: "Limits", actor: str) -> None:
        """Replace the limits of a key or a tenant."""

    def show_limits(self, subject: str) -> "Limits":
        """The limits of a key or a tenant."""

    def used(self, subject: str) -> "tuple[Use, ...]":
        """What is used of each limit now."""

    def usage(self, tenant: str | None, key_id: str | None, since: datetime) -> "tuple[Usage, ...]":
        """Requests and tokens since then, by tenant, key and model."""
        ...

    def revoke(self, key_id: str, reason: str, actor: str) -> "KeyRecord":
        """Revoke a key for good."""

    def key_history(self, key_id: str) -> "KeyHistory":
        """A key's life so far."""
        ...

    def rotate_key(self, key_id: str, overlap: timedelta, actor: str) -> "tuple[ApiKey, datetime]":
        """A key's successor, and until when the old one works."""
        ...

    def pepper_uses(self) -> "tuple[PepperUse, ...]":
        """How many keys use each version of the pepper."""
        ...

    def set_proof_key(self, key_id: str, public: "Ed25519PublicKey", actor: str) -> None:
        """What a key's signed requests are checked with from now on."""

    def put_notice(self, notice: "Notice") -> None:
        """Have this one sent by the next run on a data node."""

    def notices(
        self, states: Sequence[str], limit: int, only: "UUID | None" = None
    ) -> "tuple[NoticeRecord, ...]":
        """The newest notices for the webhook that are in these states."""
        ...

    def set_drained(self, name: str, drained: bool, reason: str, actor: str) -> None:
        """Take an engine out of rotation, or put it back."""

    def record(self, wanted: "Sequence[LedgerEvent]") -> None:
        """Append events."""


OpenLedger = Callable[[Federation, Home, Callable[[], datetime]], LedgerAccess]


class ReplicationAccess(Protocol):
    """What commands need of the data nodes' Patroni (see `replication_client.Replication`)."""

    def look(self) -> "View":
        """What every data node says now."""

    def switchover(self, leader: str, candidate: str) -> str:
        """Have `candidate` lead in place of `leader`."""

    def failover(self, candidate: str) -> str:
        """Have `candidate` lead whatever is lost."""


ReachReplication = Callable[[Federation, Home, Callable[[], datetime]], ReplicationAccess]


class GatewaysAccess(Protocol):
    """What commands need of the gateways' private ports (see `engines_client.Gateways`)."""

    def look(self) -> "tuple[GatewayView, ...]":
        """Every gateway's view of its engines."""
        ...


ReachGateways = Callable[[Federation, Home, Callable[[], datetime]], GatewaysAccess]


def _reach_gateways(
    federation: Federation, home: Home, now: Callable[[], datetime]
) -> GatewaysAccess:
    from fedctl.engines_client import Gateways

    return Gateways(federation, home, now)


def _reach_replication(
    federation: Federation, home: Home, now: Callable[[], datetime]
) -> ReplicationAccess:
    from fedctl.replication_client import Replication

    return Replication(federation, home, now)


def _run_deploy(
    order: "Order", hear: "Callable[[Event], None]", log: Path, stopper: "Stopper"
) -> "Summary":
    from fedctl.deploy import run_deploy

    return run_deploy(order, hear, log, stopper)


def _open_ledger(federation: Federation, home: Home, now: Callable[[], datetime]) -> LedgerAccess:
    from fedctl.ledger_client import Ledger

    return Ledger(federation, home, now)


def _reach_log(federation: Federation, home: Home, now: Callable[[], datetime]) -> "LogAccess":
    from fedctl.log_access import reach

    return reach(federation, home, now)


def _reach_custody(app: "App") -> "CustodyAccess":
    from fedctl.custody_access import reach

    return reach(app)


def _set_up_custody(app: "App") -> str:
    from fedctl.custody_lab import set_up

    return set_up(app)


def _reach_roles(app: "App") -> "RoleAccess":
    from fedctl.role_access import reach

    return reach(app)


def _build(federation: Federation, home: Home, progress: Progress) -> None:
    """Everything nodes are given: our release and, for inference nodes, the engine."""
    from fedctl.builds import build_all

    build_all(federation, home, progress)


def _lab() -> ModuleType:
    from fedctl import lab_parts

    return lab_parts


def _complete(*arguments: Any, **options: Any) -> dict[str, Any]:
    from fedctl.gateway_client import complete

    return complete(*arguments, **options)


def _chat(places: "Sequence[Place]", authority: Path, key: str) -> "Asks":
    from fedctl.chat_client import Client

    return Client(places, authority, key)


def _ready(federation: Federation, node: Node, ca: Path) -> str:
    from fedctl.gateway_client import ready

    return ready(federation, node, ca)


@dataclass(frozen=True)
class Parts:
    """Real ones by default; imports happen when a part is first used."""

    connect: Connect = connect
    run_deploy: Callable[..., "Summary"] = _run_deploy
    open_ledger: OpenLedger = _open_ledger
    reach_replication: ReachReplication = _reach_replication
    reach_gateways: ReachGateways = _reach_gateways
    reach_log: "Callable[[Federation, Home, Callable[[], datetime]], LogAccess]" = _reach_log
    reach_custody: "Callable[[App], CustodyAccess]" = _reach_custody
    set_up_custody: "Callable[[App], str]" = _set_up_custody
    reach_roles: "Callable[[App], RoleAccess]" = _reach_roles
    build: Callable[[Federation, Home, Progress], None] = _build
    lab: Callable[[], Any] = field(default=_lab)
    complete: Callable[..., dict[str, Any]] = _complete
    chat: "Callable[[Sequence[Place], Path, str], Asks]" = _chat
    ready: Callable[[Federation, Node, Path], str] = _ready
