"""The ledger's database on three nodes: one may be lost, and writes go on."""

import json
import time
from datetime import UTC, datetime

import pytest

from fedctl.ledger_client import Ledger
from inventory.model import Node, Role
from ledger.access import DATABASE
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.event import Event
from ledger.identifiers import new_id
from tests.support.fleet import Fleet, wait_for

# How long a failover takes is measured by the game day, on a quiet machine; here it has to end.
RESUME_SECONDS = 60


def write(fleet: Fleet) -> bool:
    """Whether one event, never seen before, is acknowledged."""
    now = datetime.now(UTC)
    event = Event(new_id(), now, "operator", "test", "test.write", "replication", {})
    try:
        Ledger(fleet.federation, fleet.home, lambda: datetime.now(UTC)).record([event])
    except (Unavailable, OutcomeUnknown):
        return False
    return True


def resumed(fleet: Fleet, began: float) -> float:
    """Seconds from `began` until a write is acknowledged again."""
    wait_for(lambda: write(fleet), RESUME_SECONDS, "a write")
    return time.monotonic() - began


def well(fleet: Fleet) -> None:
    """Wait until all three data nodes do their part."""
    wait_for(
        lambda: fleet.fedctl("ledger", "status", expect=None).returncode == 0, 300, "replication"
    )


def test_three_data_nodes_of_which_one_leads_and_two_count(fleet: Fleet) -> None:
    status = fleet.json("ledger", "status")
    members = {member["node"]: member for member in status["members"]}
    assert set(members) == {node.name for node in fleet.federation.with_role(Role.DATA)}
    assert status["standbys_a_commit_waits_for"] == 1
    assert status["problems"] == []
    assert sum(member["synchronous"] for member in members.values()) == 2


def sql(fleet: Fleet, node: Node, query: str) -> str:
    """What the superuser is answered over the node's own socket."""
    script = f'runuser -u postgres -- psql -AtX -d {DATABASE} -c "{query}"'
    return fleet.shell(node, script).strip()


PROMISED = {
    "data_checksums": "on",
    "ssl": "on",
    "ssl_min_protocol_version": "TLSv1.3",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "pgaudit.log": "ddl, role",
}
# Months of the log for which there is room already, this one and those to come.
PARTITIONS_AHEAD = """
SELECT count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'ledger.log'::regclass
"""


def test_every_data_node_keeps_what_was_promised_of_it(fleet: Fleet) -> None:
    for node in fleet.federation.with_role(Role.DATA):
        found = {name: sql(fleet, node, f"SHOW {name}") for name in PROMISED}
        assert found == PROMISED, node.name
    leader = fleet.leader()
    assert sql(fleet, leader, "SHOW synchronous_standby_names").startswith("ANY 1 (")
    assert int(sql(fleet, leader, PARTITIONS_AHEAD)) >= 3  # the one for all other times included


def test_the_superuser_cannot_log_in_over_the_network(fleet: Fleet) -> None:
    leader = fleet.leader()
    for node in fleet.federation.with_role(Role.DATA):
        port = fleet.federation.ports.postgres
        script = f"runuser -u postgres -- psql -X -h {leader.address} -p {port} -c 'SELECT 1'"
        assert "(1 row)" not in fleet.shell(node, script + " 2>&1", expect=None)


def test_a_switchover_loses_nothing_and_takes_seconds(fleet: Fleet) -> None:
    leader = fleet.leader()
    done = fleet.json("ledger", "switchover", "--yes")
    assert done["from"] == leader.name and done["leader"] == done["to"] != leader.name
    assert done["seconds"] < RESUME_SECONDS
    assert write(fleet)
    well(fleet)
    fleet.fedctl("plan", expect=0)


def test_backups_go_on_where_another_node_leads(fleet: Fleet) -> None:
    """WAL of the new timeline arrives, and a backup is made of it."""
    status = fleet.json("ledger", "status")
    [timeline] = {each["timeline"] for each in status["members"] if each["role"] == "leader"}
    assert timeline > 1
    assert fleet.json("backup", "point", f"on-timeline-{timeline}")["archived"]
    for held in fleet.json("backup", "list")["repositories"]:
        assert int(held["newest_wal"][:8], 16) == timeline, held["node"]
    made = fleet.json("backup", "now")
    [told] = [
        event
        for line in fleet.fedctl(
            "--json", "ledger", "search", "--kind", "backup.made"
        ).stdout.splitlines()
        if (event := json.loads(line)["event"])["subject"] == made["label"]
    ]
    assert told["data"]["timeline"] == timeline


@pytest.mark.parametrize(
    "strike",
    [
        "kill -9 $(head -1 /var/lib/postgresql/15/federation/postmaster.pid)",
        "kill -9 $(systemctl show -P MainPID federation-patroni)",
    ],
    ids=["PostgreSQL", "Patroni"],
)
def test_writes_resume_after_a_leaders_process_is_killed(fleet: Fleet, strike: str) -> None:
    fleet.shell(fleet.leader(), strike)
    assert resumed(fleet, time.monotonic()) < RESUME_SECONDS
    well(fleet)


def test_writes_resume_after_the_leaders_power_is_cut(restored: Fleet) -> None:
    leader = restored.leader()
    restored.fedctl("lab", "kill", leader.name, "--yes")
    took = resumed(restored, time.monotonic())
    assert took < RESUME_SECONDS
    assert restored.leader() != leader
    restored.fedctl("lab", "boot", leader.name)
    well(restored)
    assert leads_nowhere_else(restored, restored.leader())


def leads_nowhere_else(fleet: Fleet, leader: Node) -> bool:
    """Whether no other data node takes writes."""
    query = "runuser -u postgres -- psql -AtXc 'SELECT pg_is_in_recovery()'"
    others = [n for n in fleet.federation.with_role(Role.DATA) if n != leader]
    return all(fleet.shell(node, query).strip() == "t" for node in others)


def test_a_hung_patroni_does_not_lead_on(restored: Fleet) -> None:
    """systemd is its watchdog: it and its PostgreSQL are killed before another may lead."""
    leader = restored.leader()
    restored.shell(leader, "kill -STOP $(systemctl show -P MainPID federation-patroni)")
    wait_for(
        lambda: (
            restored.shell(leader, "systemctl show -P NRestarts federation-patroni").strip() != "0"
        ),
        60,
        "the watchdog",
    )
    well(restored)
