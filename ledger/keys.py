"""API keys in the ledger: issue, list, revoke, and what a gateway needs to judge one.

The secret exists in the answer of `issue` and nowhere else. A revoked key's row stays for ever,
with who revoked it, when and why; no role can bring it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from ledger.connect import Connection, Row
from ledger.errors import Unavailable, UnknownKey
from ledger.limits import UNLIMITED, Limits, limits_of
from ledger.queries import QUERIES
from ledger.translate import translated
from trust import apikeys
from trust.apikeys import ApiKey, Pepper
from trust.tiers import Tier

State = Literal["active", "expired", "revoked"]
DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class KeyRecord:
    """A key as people see it. `models` None means every model. `expires_at` is when it ends: as it
    was issued, by its maximum age, or since it was replaced. `strength` is as last settled.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_reason: str | None
    tenant: str = DEFAULT_TENANT
    roles: tuple[str, ...] = ()
    tier: Tier = Tier.STRONG
    strength: float = 100.0
    replaced_by: str | None = None

    def state(self, now: datetime) -> State:
        """Whether the key works at `now`, and if not, why."""
        return _state(self.revoked_at, self.expires_at, now)


@dataclass(frozen=True, slots=True)
class Verifier:
    """What recognises a key: its digest (out of `repr`), and what it may. `limits` are what its
    tier leaves of them; keys of a `family` (its first key's id) share them. `prompts`: its tenant
    has prompts stored, sealed to this vouched key (empty: there is none); None: it has not.
    """

    id: str
    name: str
    digest: bytes = field(repr=False)
    pepper_version: int
    scopes: frozenset[str]
    models: frozenset[str] | None
    expires_at: datetime | None
    revoked_at: datetime | None
    tenant: str = DEFAULT_TENANT
    roles: frozenset[str] = frozenset()
    limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED
    tier: Tier = Tier.STRONG
    family: str = ""
    prompts: bytes | None = None

    def state(self, now: datetime) -> State:
        """Whether the key works at `now`, and if not, why."""
        return _state(self.revoked_at, self.expires_at, now)

    def may_use(self, model: str) -> bool:
        """Whether the key's list of models has this one."""
        return self.models is None or model in self.models


async def issue(
    connection: Connection,
    pepper: Pepper,
    *,
    name: str,
    scopes: Sequence[str],
    models: Sequence[str] | None,
    expires_at: datetime | None,
    actor: str,
    tenant: str = DEFAULT_TENANT,
    roles: Sequence[str] = (),
    key: ApiKey | None = None,
) -> tuple[ApiKey, KeyRecord]:
    """A new key and its record; `key.reveal()` is the only time its text can be had.

    Raises Rejected for a name, scope, tenant or date the table refuses. After OutcomeUnknown,
    simply issue another: a key whose text nobody has seen can be used by nobody.
    """
    made = key or apikeys.generate()
    values = {
        "id": made.id,
        "name": name,
        "digest": apikeys.digest(made.secret, pepper),
        "pepper_version": pepper.version,
        "scopes": list(scopes),
        "models": None if models is None else list(models),
        "actor": actor,
        "expires_at": expires_at,
        "tenant": tenant,
        "roles": list(roles),
    }
    with translated(writing=True):
        await connection.execute(QUERIES["key_issue"], values)
    return made, await show(connection, made.id)


async def list_keys(connection: Connection, tenant: str | None = None) -> tuple[KeyRecord, ...]:
    """Every key there ever was (of one tenant), oldest first. No secret, no digest."""
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["key_list"], {"tenant": tenant})).fetchall()
    return tuple(_record(row) for row in rows)


async def revoke(connection: Connection, key_id: str, *, reason: str, actor: str) -> KeyRecord:
    """Revoke a key for good; again is no error, and the first one's reason stays.

    Raises UnknownKey.
    """
    values = {"id": key_id, "reason": reason, "actor": actor}
    with translated(writing=True):
        await connection.execute(QUERIES["key_revoke"], values)
    return await show(connection, key_id)


async def show(connection: Connection, key_id: str) -> KeyRecord:
    """One key as people see it; raises UnknownKey."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["key_show"], {"id": key_id})).fetchone()
    if row is None:
        raise UnknownKey(f"no key has the id {key_id[:40]!r}")
    return _record(row)


async def find(connection: Connection, key_id: str) -> Verifier | None:
    """What recognises the key with this id, or None: one look at the primary key."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["key_find"], {"id": key_id})).fetchone()
    return None if row is None else _verifier(row)


async def find_many(
    connection: Connection, key_ids: Sequence[str]
) -> tuple[int, tuple[Verifier, ...]]:
    """What recognises those of the keys that exist, and the keyring's version this is true for."""
    with translated(writing=False):
        rows = await (
            await connection.execute(QUERIES["keys_find"], {"ids": list(key_ids)})
        ).fetchall()
    if not rows:
        raise Unavailable("the ledger has no keyring")
    versions = [int(row.pop("version")) for row in rows]
    return versions[0], tuple(_judged(row) for row in rows if row["id"] is not None)


def _judged(row: Row) -> Verifier:
    """A row of `keys_find`: a key within what its tenant allows."""
    own, tenants = row["models"], row.pop("tenant_models")
    if tenants is not None:
        row["models"] = tenants if own is None else sorted(set(own) & set(tenants))
    limits, tenant_limits = limits_of(row.pop("limits")), limits_of(row.pop("tenant_limits"))
    sealed = row.pop("prompts")
    prompts = None if sealed is None else bytes(sealed)
    return replace(_verifier(row), limits=limits, tenant_limits=tenant_limits, prompts=prompts)


def _verifier(row: Row) -> Verifier:
    models = row["models"]
    return Verifier(
        **{
            **row,
            "digest": bytes(row["digest"]),
            "tier": Tier(row["tier"]),
            "scopes": frozenset(row["scopes"]),
            "roles": frozenset(row["roles"]),
            "models": None if models is None else frozenset(models),
        }
    )


def _record(row: Row) -> KeyRecord:
    models = row["models"]
    return KeyRecord(
        **{
            **row,
            "tier": Tier(row["tier"]),
            "roles": tuple(row["roles"]),
            "scopes": tuple(row["scopes"]),
            "models": None if models is None else tuple(models),
        }
    )


def _state(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> State:
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at is not None and now >= expires_at else "active"
