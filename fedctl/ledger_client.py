"""The operator at the ledger: API keys and the record of runs, over TLS with a certificate.

The operator's certificate is issued by the operator's own authority when there is none or half its
life is over; before the first deploy there is no authority, and calls raise AuthorityMissing. Every
call opens one connection, works, and closes it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from deploys.authority import operator_pair
from deploys.own_secrets import peppers_of
from inventory.home import Home
from inventory.model import Federation, Role
from ledger import (
    key_strength,
    keys,
    limits,
    notices,
    possession,
    quotas,
    tenants,
    upstreams,
    usage,
)
from ledger.append import append
from ledger.connect import Connection, Settings, connect
from ledger.errors import Rejected, Unavailable
from ledger.event import Event
from ledger.key_strength import KeyHistory
from ledger.keys import DEFAULT_TENANT, KeyRecord
from ledger.limits import Limits
from ledger.notices import Notice, NoticeRecord
from ledger.pepper_uses import PepperUse, pepper_uses
from ledger.quotas import Use
from ledger.tenants import TenantRecord
from trust.apikeys import ApiKey

T = TypeVar("T")
OPERATOR = "operator"
DATABASE_ROLE = "fed_operator"
# A run tells the ledger at its very end, when Ctrl-C is held back: nothing may wait without end.
STATEMENT_SECONDS = 20.0


@dataclass(frozen=True)
class Ledger:
    """How this operator reaches this federation's ledger."""

    federation: Federation
    home: Home
    now: Callable[[], datetime]

    def issue(
        self,
        name: str,
        actor: str,
        scopes: Sequence[str],
        models: Sequence[str] | None,
        expires_at: datetime | None,
        tenant: str = DEFAULT_TENANT,
        roles: Sequence[str] = (),
    ) -> tuple[ApiKey, KeyRecord]:
        """A new key and its record; raises LedgerError."""
        pepper = peppers_of(self.home).current
        return self._with(
            lambda connection: keys.issue(
                connection, pepper, name=name, scopes=scopes, models=models,
                expires_at=expires_at, actor=actor, tenant=tenant, roles=roles,
            )
        )  # fmt: skip

    def list_keys(self, tenant: str | None = None) -> tuple[KeyRecord, ...]:
        """Every key there ever was, of one tenant or of all."""
        return self._with(lambda connection: keys.list_keys(connection, tenant))

    def revoke(self, key_id: str, reason: str, actor: str) -> KeyRecord:
        """Revoke a key for good; raises UnknownKey."""
        return self._with(
            lambda connection: keys.revoke(connection, key_id, reason=reason, actor=actor)
        )

    def key_history(self, key_id: str) -> KeyHistory:
        """A key's life so far; raises UnknownKey."""
        return self._with(lambda connection: key_strength.show(connection, key_id))

    def rotate_key(self, key_id: str, overlap: timedelta, actor: str) -> tuple[ApiKey, datetime]:
        """A key's successor; raises UnknownKey, Rejected, Conflict when it was replaced before."""
        pepper = peppers_of(self.home).current

        async def rotate(connection: Connection) -> tuple[ApiKey, datetime]:
            history = await key_strength.show(connection, key_id)
            if history.state.revoked:
                raise Rejected(f"key {key_id} is revoked: issue a new one")
            return await key_strength.rotate(
                connection, pepper, history, overlap=overlap, actor=actor,
                node=socket.gethostname(), now=self.now(),
            )  # fmt: skip

        return self._with(rotate)

    def pepper_uses(self) -> tuple[PepperUse, ...]:
        """How many keys use each version of the pepper; raises LedgerError."""
        return self._with(pepper_uses)

    def create_tenant(self, name: str, models: Sequence[str] | None, actor: str) -> None:
        """A new tenant; raises Conflict for one that is there."""

        async def create(connection: Connection) -> None:
            await tenants.create(connection, name, models=models, actor=actor)

        self._with(create)

    def list_tenants(self) -> tuple[TenantRecord, ...]:
        """Every tenant."""
        return self._with(tenants.list_tenants)

    def show_tenant(self, name: str) -> TenantRecord:
        """One tenant; raises UnknownTenant."""
        return self._with(lambda connection: tenants.show(connection, name))

    def set_limits(self, subject: str, wanted: Limits, actor: str) -> None:
        """Replace the limits of a key or a tenant; raises Rejected when there is none."""
        self._with(lambda connection: limits.set_limits(connection, subject, wanted, actor=actor))

    def show_limits(self, subject: str) -> Limits:
        """The limits of a key or a tenant."""
        return self._with(lambda connection: limits.show_limits(connection, subject))

    def used(self, subject: str) -> tuple[Use, ...]:
        """What is used of each limit now."""
        return self._with(lambda connection: quotas.used(connection, subject))

    def usage(
        self, tenant: str | None, key_id: str | None, since: datetime
    ) -> tuple[usage.Usage, ...]:
        """Requests and tokens since then, by tenant, key and model."""
        return self._with(
            lambda connection: usage.usage(connection, tenant=tenant, key=key_id, since=since)
        )

    def set_proof_key(self, key_id: str, public: Ed25519PublicKey, actor: str) -> None:
        """What a key's signed requests are checked with from now on; raises UnknownKey."""
        self._with(
            lambda connection: possession.set_public_key(connection, key_id, public, actor=actor)
        )

    def put_notice(self, notice: Notice) -> None:
        """Have this one sent by the next run on a data node."""
        self._with(lambda connection: notices.put(connection, [notice]))

    def notices(
        self, states: Sequence[str], limit: int, only: UUID | None = None
    ) -> tuple[NoticeRecord, ...]:
        """The newest notices for the webhook that are in these states, or the one named."""
        return self._with(lambda connection: notices.listed(connection, states, limit, only))

    def set_drained(self, name: str, drained: bool, reason: str, actor: str) -> None:
        """Take an engine out of rotation, or put it back; raises Rejected."""
        self._with(
            lambda connection: upstreams.set_drained(
                connection, name, drained=drained, reason=reason, actor=actor
            )
        )

    def record(self, wanted: Sequence[Event]) -> None:
        """Append events; those that are there already stay as they are."""
        settings = self.settings()
        work = append(settings, wanted, give_up_seconds=STATEMENT_SECONDS, wait_for_server=False)
        asyncio.run(work)

    def _with(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        settings = self.settings()

        async def run() -> T:
            connection = await connect(settings)
            async with connection:
                return await work(connection)

        return asyncio.run(run())

    def settings(self) -> Settings:
        """How to connect as the operator; raises Unavailable, AuthorityMissing."""
        data = self.federation.with_role(Role.DATA)
        if not data:
            raise Unavailable("no node of this federation has the role data")
        key, certificate = operator_pair(self.home, self.now())
        return Settings(
            hosts=tuple(self.federation.fqdn(node) for node in data),
            addresses=tuple(str(node.address) for node in data),
            port=self.federation.ports.postgres,
            user=DATABASE_ROLE,
            sslcert=certificate,
            sslkey=key,
            sslrootcert=self.home.authority / "ca.pem",
            application_name="fedctl",
            statement_timeout_seconds=STATEMENT_SECONDS,
        )
