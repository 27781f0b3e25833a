"""Data nodes' etcd, Patroni and PostgreSQL as far as roles ask: shared state, scripts to play."""

import json
from dataclasses import dataclass, field
from typing import Any

from deploys.replication import NAMESPACE, PATRONI
from tests.ops.harness import SimulatedNode
from tests.ops.played import with_users
from tests.ops.wheels import with_environments


@dataclass
class Federated:
    """What the data nodes agreed on: etcd's keys, seen by each of them."""

    keys: dict[str, str] = field(default_factory=dict)


@dataclass
class Member:
    """One data node: `node` is to be deployed to."""

    name: str
    agreed: Federated
    etcd: bool = False
    version: str | None = None
    patroni: dict[str, Any] | None = None
    complete: bool = False
    prepared: bool = False
    migrations: dict[str, Any] | None = None
    node: SimulatedNode = field(default_factory=SimulatedNode)

    def __post_init__(self) -> None:
        with_environments(with_users(self.node))
        self.node.scripts |= {
            "etcd_state": lambda _: {"member": self.etcd},
            "etcd_join": self._join,
            "consensus_state": self._consensus,
            "consensus_put": self._put,
            "ledger_claim": self._claim,
            "cluster_state": lambda _: {"version": self.version},
            "cluster_create": self._create,
            "cluster_prepare": self._prepare,
            "patroni_state": lambda _: self.patroni,
            "patroni_run": self._run,
            "database_state": lambda _: {"complete": self.complete, "pending": []},
            "database_create": self._roles,
            "migrations_state": lambda _: self.migrations,
            "migrations_up": self._migrate,
        }

    def _join(self, argument: Any) -> None:
        assert argument["name"] == self.name
        self.etcd = True

    def _consensus(self, argument: Any) -> Any:
        assert argument["prefix"] == NAMESPACE
        return self.agreed.keys if self.etcd else None

    def _put(self, argument: Any) -> None:
        self.agreed.keys[argument["entry"].removeprefix(NAMESPACE)] = argument["value"]

    def _claim(self, argument: Any) -> None:
        self.agreed.keys.setdefault("founder", argument["order"][0])

    def _create(self, argument: Any) -> None:
        assert self.version is None
        self.version = "15"

    def _prepare(self, argument: Any) -> None:
        assert "CREATE DATABASE federation" in argument["sql"]
        assert self.version and self.patroni is None
        self.complete = True

    def _run(self, argument: Any) -> None:
        assert argument["unit"] == PATRONI
        leader = self.agreed.keys.setdefault("ledger/leader", self.name)
        self.agreed.keys.setdefault("ledger/initialize", "7401")
        self.version = "15"
        self.node.has_unit(PATRONI)
        role = "primary" if leader == self.name else "replica"
        self.patroni = {
            "state": "running",
            "role": role,
            "pending_restart": False,
            "replicating": "" if role == "primary" else "streaming",
        }

    def _roles(self, argument: Any) -> None:
        self.complete = True

    def _migrate(self, argument: Any) -> None:
        assert argument["user"] == "fedledger"
        assert self.agreed.keys.get("ledger/leader") == self.name
        self.migrations = {"version": 3, "latest": 3, "pending": [], "error": None}

    @property
    def settings(self) -> Any:
        """Patroni's dynamic settings."""
        return json.loads(self.agreed.keys["ledger/config"])
