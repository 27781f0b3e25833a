"""The data role against a simulated node: what it does to a bare one, and then nothing."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploys.roles.data import DATA, EXPORTER, UNIT, data
from inventory.model import Role
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_users


class Database:
    """A database server in so far as the role asks for it."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.complete = False
        self.migrations: dict[str, Any] | None = None
        self.refusal: dict[str, str] | None = None

    def scripts(self) -> dict[str, Any]:
        """What it plays, by script name."""
        return {
            "cluster_state": lambda _: {"version": self.version},
            "cluster_create": self._create,
            "database_state": lambda _: {"complete": self.complete, "pending": []},
            "database_create": self._roles,
            "migrations_state": lambda _: self.migrations,
            "migrations_up": self._migrate,
        }

    def _create(self, argument: Any) -> None:
        assert argument["data"] == DATA
        self.version = "15"

    def _roles(self, argument: Any) -> None:
        assert "CREATE DATABASE federation" in argument["sql"]
        self.complete = True

    def _migrate(self, argument: Any) -> None:
        assert argument["user"] == "fedledger"
        self.migrations = {"version": 3, "latest": 3, "pending": [], "error": None}


@pytest.fixture
def server() -> Database:
    return Database()


@pytest.fixture
def node(server: Database) -> SimulatedNode:
    return with_users(SimulatedNode(scripts=server.scripts()))


def test_a_bare_node_gets_its_database_and_then_nothing(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, role=Role.DATA)
    assert plan(data, where, node)
    assert apply(data, where, node) == [
        "create /etc/postgresql-common/",
        "create /etc/federation/postgres/",
        "create /etc/federation/web/",
        "create /etc/postgresql-common/createcluster.conf",
        "create /etc/federation/postgres/postgresql.conf",
        "create /etc/federation/postgres/pg_hba.conf",
        "create /etc/federation/postgres/pg_ident.conf",
        f"create /etc/systemd/system/{UNIT}",
        f"create /etc/systemd/system/{EXPORTER}",
        "create /etc/federation/web/federation-postgres-exporter.yml",
        "create /etc/systemd/system/postgresql.service",
        "create /etc/systemd/system/postgresql@15-main.service",
        "create /etc/systemd/system/prometheus-postgres-exporter.service",
        "install postgresql-15",
        "install prometheus-postgres-exporter",
        "create /etc/sysusers.d/federation-data.conf",
        "create user fedledger",
        "create user fedmetrics",
        f"create cluster {DATA}",
        f"enable {UNIT}",
        f"start {UNIT}",
        "run ledger/cluster.sql",
        "migrate every migration of the release",
        f"enable {EXPORTER}",
        f"start {EXPORTER}",
    ]
    assert apply(data, where, node) == []
    assert plan(data, where, node) == {}


def test_only_gateways_data_nodes_and_the_operator_may_log_in_from_elsewhere(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, role=Role.DATA)
    apply(data, where, node)
    hba = node.text("/etc/federation/postgres/pg_hba.conf")
    gateways = where.federation.with_role(Role.GATEWAY)
    members = where.federation.with_role(Role.DATA)
    allowed = {*gateways, *members, *where.federation.network.operator_addresses}
    named = set(re.findall(r"^hostssl .* ([0-9.]+)/32 +cert", hba, re.MULTILINE))
    assert named == {str(getattr(who, "address", who)) for who in allowed}
    assert not re.search(r"trust|password|md5|scram", hba)
    ident = node.text("/etc/federation/postgres/pg_ident.conf")
    assert all(f"federation {gateway.name} fed_gateway" in ident for gateway in gateways)


def test_sizes_come_from_the_nodes_limits(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, role=Role.DATA, file="federation.toml")
    apply(data, where, node)
    settings = node.text("/etc/federation/postgres/postgresql.conf")
    limits = where.node.limits
    assert f"shared_buffers = {limits.postgres_shared_buffers_mib}MB" in settings
    assert f"max_connections = {limits.postgres_max_connections}" in settings


def test_a_new_release_with_a_new_migration_migrates(
    tmp_path: Path, node: SimulatedNode, server: Database
) -> None:
    where = context(tmp_path, role=Role.DATA)
    apply(data, where, node)
    server.migrations = {"version": 3, "latest": 4, "pending": ["0004_more"], "error": None}
    assert [str(c) for c in plan(data, where, node)["Ledger: migrations"]] == ["migrate 0004_more"]
    assert apply(data, where, node) == ["migrate 0004_more"]


def test_a_tampered_migration_shows_in_the_plan_and_runs_into_the_ledgers_refusal(
    tmp_path: Path, node: SimulatedNode, server: Database
) -> None:
    where = context(tmp_path, role=Role.DATA)
    apply(data, where, node)
    refusal = {"kind": "MigrationChanged", "message": "0001_api_keys.up.sql changed"}
    server.migrations = {"version": 3, "latest": 3, "pending": [], "error": refusal}
    [change] = plan(data, where, node)["Ledger: migrations"]
    assert "0001_api_keys.up.sql changed" in str(change)
    assert apply(data, where, node) == ["migrate"]
