"""The data nodes' roles against simulated nodes: what they do to bare ones, and then nothing."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploys.context import NodeContext
from deploys.database_files import EXPORTER
from deploys.pgbackrest import repositories
from deploys.postgres import DATA
from deploys.replication import ETCD, PATRONI
from deploys.roles.data import SINGLE, data, founding, schema
from deploys.roles.etcd import etcd
from inventory.model import Role
from tests.ops.consensus import Federated, Member
from tests.ops.contexts import context, federation
from tests.ops.harness import apply, plan
from tests.ops.wheels import make_wheelhouse

DATA_NODES = [node.name for node in federation().with_role(Role.DATA)]
ROLES = (etcd, founding, data, schema)


class Cluster:
    """The lab's data nodes, and the context each is deployed with."""

    def __init__(self, home: Path, file: str = "lab.toml") -> None:
        self.agreed = Federated()
        nodes = federation(file).with_role(Role.DATA)
        self.members = {node.name: Member(node.name, self.agreed) for node in nodes}
        self.contexts = {node.name: context(home, node=node.name, file=file) for node in nodes}
        make_wheelhouse(home / "patroni")

    def apply(self, role: Any) -> dict[str, list[str]]:
        """What a role did, by node, one node after the other."""
        return {
            name: apply(role, self.contexts[name], member.node)
            for name, member in self.members.items()
        }

    def deploy(self) -> None:
        """All of it, in the order of the stages."""
        for role in ROLES:
            self.apply(role)

    def quiet(self) -> bool:
        """Whether nothing is left to do anywhere."""
        return all(
            apply(role, self.contexts[name], member.node) == []
            and plan(role, self.contexts[name], member.node) == {}
            for role in ROLES
            for name, member in self.members.items()
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_bare_nodes_get_their_database_and_then_nothing(cluster: Cluster) -> None:
    first, *others = cluster.members
    for member in cluster.members.values():
        assert plan(founding, cluster.contexts[member.name], member.node)
    for effects in cluster.apply(etcd).values():
        assert effects == [
            "create /var/lib/federation/",
            f"create /etc/systemd/system/{ETCD}",
            "create /etc/systemd/system/etcd.service",
            "install etcd-server",
            "install etcd-client",
            "create /etc/sysusers.d/federation-etcd.conf",
            "create user fedetcd",
            "join etcd",
            f"enable {ETCD}",
            f"start {ETCD}",
        ]
    done = cluster.apply(founding)
    common = [
        "create /etc/postgresql-common/",
        "create /etc/federation/postgres/",
        "create /etc/federation/web/",
        "create /etc/postgresql-common/createcluster.conf",
        "create /etc/federation/postgres/postgresql.conf",
        "create /etc/federation/postgres/pg_hba.conf",
        "create /etc/federation/postgres/pg_ident.conf",
        "create /etc/federation/patroni.yml",
        "create /usr/local/lib/federation/patroni_main.py",
        f"create /etc/systemd/system/{PATRONI}",
        f"create /etc/systemd/system/{EXPORTER}",
        "create /etc/federation/web/federation-postgres-exporter.yml",
        "create /etc/systemd/system/postgresql.service",
        "create /etc/systemd/system/postgresql@15-main.service",
        "create /etc/systemd/system/prometheus-postgres-exporter.service",
        "install postgresql-15",
        "install postgresql-15-pgaudit",
        "install prometheus-postgres-exporter",
        "create /etc/sysusers.d/federation-data.conf",
        "create user fedledger",
        "create user fedmetrics",
        "create /var/lib/postgresql/15/",
        "copy alpha-1.0-py3-none-any.whl, beta-2.0-py3-none-any.whl, uv-1.0-py3-none-any.whl"
        " to /opt/federation/wheelhouse/incoming",
        "install /opt/federation/patroni/4.0.0+0123",
    ]
    assert done[first] == [
        *common,
        "agree who founds the database",
        "write /federation/ledger/config",
        f"create cluster {DATA}",
        "run ledger/cluster.sql",
        f"enable {PATRONI}",
        f"start {PATRONI}",
    ]
    for name in others:
        assert done[name] == common
    for name, effects in cluster.apply(data).items():
        joining = [] if name == first else [f"enable {PATRONI}", f"start {PATRONI}"]
        assert effects == [*joining, f"enable {EXPORTER}", f"start {EXPORTER}"]
    migrated = cluster.apply(schema)
    assert migrated.pop(first) == ["migrate every migration of the release"]
    assert not any(migrated.values())
    assert cluster.quiet()


def test_a_cluster_from_before_replication_is_adopted_where_it_is(cluster: Cluster) -> None:
    name = DATA_NODES[-1]
    member = cluster.members[name]
    member.version = "15"
    member.node.has_unit(SINGLE)
    member.node.has_file(f"/etc/systemd/system/{SINGLE}", "[Service]\n")
    cluster.agreed.keys["founder"] = name
    cluster.apply(etcd)
    done = cluster.apply(founding)
    assert done[name][-6:] == [
        f"disable {SINGLE}",
        f"stop {SINGLE}",
        f"remove /etc/systemd/system/{SINGLE}",
        "run ledger/cluster.sql",
        f"enable {PATRONI}",
        f"start {PATRONI}",
    ]
    assert not any(PATRONI in effect for n in DATA_NODES[:-1] for effect in done[n][-2:])
    cluster.apply(data)
    cluster.apply(schema)
    assert cluster.agreed.keys["ledger/leader"] == name
    assert cluster.quiet()


def test_a_rebuilt_member_joins_what_is_there(cluster: Cluster) -> None:
    cluster.deploy()
    name = DATA_NODES[0]
    leader, former = cluster.members[DATA_NODES[1]], cluster.members[name]
    cluster.agreed.keys["ledger/leader"] = leader.name
    leader.complete, leader.migrations = True, former.migrations
    fresh = cluster.members[name] = Member(name, cluster.agreed)
    where = cluster.contexts[name]
    done = [effect for role in ROLES for effect in apply(role, where, fresh.node)]
    assert "join etcd" in done
    for never in (f"create cluster {DATA}", "run ledger/cluster.sql", "migrate"):
        assert not any(effect.startswith(never) for effect in done)
    assert fresh.patroni and fresh.patroni["role"] == "replica"
    assert cluster.quiet()


def test_a_changed_file_restarts_where_it_is_read_and_in_the_stage_that_takes_turns(
    cluster: Cluster,
) -> None:
    cluster.deploy()
    name = DATA_NODES[0]
    member, where = cluster.members[name], cluster.contexts[name]
    for unit in (ETCD, PATRONI):
        member.node.units[unit]["restart_needed"] = True
    assert apply(etcd, where, member.node) == []
    assert apply(founding, where, member.node) == []
    assert apply(data, where, member.node) == [f"restart {ETCD}", f"restart {PATRONI}"]
    assert cluster.quiet()


def test_a_setting_that_postgres_reads_at_its_start_restarts_it(cluster: Cluster) -> None:
    cluster.deploy()
    member = cluster.members[DATA_NODES[1]]
    assert member.patroni is not None
    member.patroni["pending_restart"] = True
    assert apply(data, cluster.contexts[member.name], member.node) == [f"restart {PATRONI}"]


def test_settings_of_the_cluster_that_somebody_changed_are_put_back(cluster: Cluster) -> None:
    cluster.deploy()
    cluster.agreed.keys["ledger/config"] = '{"synchronous_mode": false, "ttl": 3600}'
    member, where = cluster.members[DATA_NODES[0]], cluster.contexts[DATA_NODES[0]]
    [change] = plan(founding, where, member.node)["PostgreSQL: settings of all members"]
    assert '-"ttl": 3600' in change.diff and '+"synchronous_mode": "quorum"' in change.diff
    assert apply(founding, where, member.node) == ["write /federation/ledger/config"]
    assert cluster.quiet()


def test_every_commit_is_on_two_nodes_and_leases_fit(cluster: Cluster) -> None:
    cluster.deploy()
    found = cluster.members[DATA_NODES[0]].settings
    assert found["synchronous_mode"] == "quorum" and found["synchronous_mode_strict"] is True
    assert found["synchronous_node_count"] == 1 and found["check_timeline"] is True
    assert found["loop_wait"] + 2 * found["retry_timeout"] <= found["ttl"]


def test_only_gateways_data_nodes_repositories_guardian_and_operator_may_log_in_from_elsewhere(
    cluster: Cluster,
) -> None:
    cluster.deploy()
    where, member = _first(cluster)
    hba = member.node.text("/etc/federation/postgres/pg_hba.conf")
    gateways = where.federation.with_role(Role.GATEWAY)
    members = where.federation.with_role(Role.DATA)
    keepers = repositories(where.federation)
    operators = where.federation.network.operator_addresses
    allowed = {*gateways, *members, *keepers, *operators, *where.federation.guardians}
    named = set(re.findall(r"^hostssl .* ([0-9.]+)/32 +cert", hba, re.MULTILINE))
    assert named == {str(getattr(who, "address", who)) for who in allowed}
    assert not re.search(r"trust|password|md5|scram", hba)
    ident = member.node.text("/etc/federation/postgres/pg_ident.conf")
    assert all(f"federation {gateway.name} fed_gateway" in ident for gateway in gateways)


def test_the_superuser_is_known_by_its_socket_alone(cluster: Cluster) -> None:
    cluster.deploy()
    _, member = _first(cluster)
    text = member.node.text("/etc/federation/patroni.yml")
    assert "password:" not in text
    assert re.search(r"superuser:\n +username: postgres\n +replication:", text)
    hba = member.node.text("/etc/federation/postgres/pg_hba.conf")
    assert not re.search(r"^host\S* +\S+ +postgres ", hba, re.MULTILINE)


def test_patroni_makes_no_cluster_by_itself(cluster: Cluster) -> None:
    cluster.deploy()
    _, member = _first(cluster)
    text = member.node.text("/etc/federation/patroni.yml")
    assert not re.search(r"^bootstrap:", text, re.MULTILINE)


def test_sizes_come_from_the_nodes_limits(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, file="federation.toml")
    cluster.deploy()
    for name, member in cluster.members.items():
        limits = cluster.contexts[name].node.limits
        settings = member.node.text("/etc/federation/postgres/postgresql.conf")
        assert f"shared_buffers = {limits.postgres_shared_buffers_mib}MB" in settings
        # The same everywhere: a standby with fewer connections than its leader cannot follow.
        most = max(c.node.limits.postgres_max_connections for c in cluster.contexts.values())
        assert member.settings["postgresql"]["parameters"]["max_connections"] == most


def test_a_new_release_with_a_new_migration_migrates(cluster: Cluster) -> None:
    cluster.deploy()
    where, member = _first(cluster)
    member.migrations = {"version": 3, "latest": 4, "pending": ["0004_more"], "error": None}
    changes = plan(schema, where, member.node)["Ledger: migrations"]
    assert [str(c) for c in changes] == ["migrate 0004_more"]
    assert apply(schema, where, member.node) == ["migrate 0004_more"]


def test_a_tampered_migration_shows_in_the_plan_and_runs_into_the_ledgers_refusal(
    cluster: Cluster,
) -> None:
    cluster.deploy()
    where, member = _first(cluster)
    refusal = {"kind": "MigrationChanged", "message": "0001_api_keys.up.sql changed"}
    member.migrations = {"version": 3, "latest": 3, "pending": [], "error": refusal}
    [change] = plan(schema, where, member.node)["Ledger: migrations"]
    assert "0001_api_keys.up.sql changed" in str(change)
    assert apply(schema, where, member.node) == ["migrate"]


def _first(cluster: Cluster) -> tuple[NodeContext, Member]:
    return cluster.contexts[DATA_NODES[0]], cluster.members[DATA_NODES[0]]
