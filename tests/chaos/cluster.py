"""The lab the faults are done to: its data nodes, who is primary, and hands that can break things.

Everything acts past the nodes' network (through their namespaces and the lab's bridge), so that a
node that is cut off can still be broken and mended.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import lab
from deploys.authority import operator_pair
from inventory.home import Home
from inventory.model import Federation, Node, Role
from lab.errors import LabError
from ledger.connect import Settings
from tests.chaos import lookup

APPLICATION = "chaos"
STANDBYS = """
SELECT count(*) || ' ' || count(*) FILTER (WHERE sync_state = 'quorum')
FROM pg_stat_replication WHERE state = 'streaming'
"""
SEQUENCER = """
SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND usename = 'fed_sequencer'
"""


@dataclass(frozen=True)
class Cluster:
    """Three data nodes of one lab, and the operator's rights at their ledger.

    `fedctl` runs `fedctl ARGUMENTS` for this lab and returns what it printed, or raises.
    """

    federation: Federation
    home: Home
    fedctl: Callable[..., str]

    @property
    def data(self) -> tuple[Node, ...]:
        """The data nodes, in inventory order."""
        return self.federation.with_role(Role.DATA)

    @cached_property
    def settings(self) -> Settings:
        """How any client of the operator's reaches the ledger: every data node, libpq chooses."""
        return self._settings(self.data)

    @cached_property
    def servers(self) -> Mapping[str, Settings]:
        """How to reach each server by itself."""
        return {node.name: self._settings((node,)) for node in self.data}

    def _settings(self, nodes: tuple[Node, ...]) -> Settings:
        key, certificate = operator_pair(self.home, datetime.now(UTC))
        return Settings(
            hosts=tuple(node.name for node in nodes),
            addresses=tuple(str(node.address) for node in nodes),
            port=self.federation.ports.postgres,
            user="fed_operator",
            sslcert=certificate,
            sslkey=key,
            sslrootcert=self.home.authority / "ca.pem",
            application_name=APPLICATION,
        )

    # What is

    def primary(self) -> Node | None:
        """The one node that says it is primary; None while there is none, or more than one."""
        found = [node for node in self.data if lookup.in_recovery(self.servers[node.name]) is False]
        return found[0] if len(found) == 1 else None

    def whole(self) -> str:
        """Empty when every member is as it should be; else what is missing."""
        primary = self.primary()
        if primary is None:
            return "no primary, or two"
        try:
            done = self.psql(primary, STANDBYS)
        except LabError as error:
            return str(error)
        wanted = len(self.data) - 1
        if done.split() != [str(wanted), str(wanted)]:
            return f"{primary.name} has {done.strip() or 'no'} standbys streaming and in the quorum"
        return self._units()

    def _units(self) -> str:
        units = (
            "federation-etcd.service",
            "federation-patroni.service",
            "federation-sequencer.service",
        )
        for node in self.data:
            states = self.run(node, "systemctl", "is-active", *units).split()
            if states != ["active"] * len(units):
                return f"{node.name}: {' '.join(states)}"
        return ""

    def active_sequencer(self) -> Node:
        """The node whose sequencer numbers events now: its session holds the one lock."""
        primary = self.primary()
        assert primary is not None, "no primary to ask who numbers events"
        address = self.psql(primary, SEQUENCER).strip()
        (found,) = (node for node in self.data if str(node.address) == address)
        return found

    def wait_whole(self, seconds: float) -> float:
        """Wait until everything is as it should be; how long it took. AssertionError if never."""
        return self.wait(self.whole, seconds)

    def wait(self, missing: Callable[[], str], seconds: float) -> float:
        """Wait until `missing` returns an empty text."""
        begun = time.monotonic()
        while text := missing():
            assert time.monotonic() - begun < seconds, f"after {seconds:.0f} s still: {text}"
            time.sleep(0.3)
        return time.monotonic() - begun

    # Hands

    def run(self, node: Node, *argv: str) -> str:
        """Run a command in the node as root; what it printed, whatever its exit code."""
        return lab.run_in(self.federation, self.home, node, argv).stdout

    def shell(self, node: Node, script: str) -> str:
        """Run a shell script in the node as root; an exit code other than 0 raises."""
        argv = ("sh", "-c", script)
        return lab.run_in(self.federation, self.home, node, argv, check=True).stdout

    def psql(self, node: Node, sql: str) -> str:
        """Ask the node's server as its superuser, over its local socket."""
        port = str(self.federation.ports.postgres)
        psql = ("psql", "-qAt", "-h", "/run/postgresql", "-p", port, "-d", "postgres", "-c", sql)
        return self.run(node, "runuser", "-u", "postgres", "--", *psql)

    def kill_main(self, node: Node, unit: str) -> None:
        """SIGKILL to the main process of a unit."""
        self.shell(node, f"systemctl kill --kill-whom=main -s KILL {unit}")

    def kill(self, node: Node) -> None:
        """Cut the power of a node."""
        lab.kill(self.federation, self.home, (node,))

    def boot(self, node: Node) -> None:
        """Give a node its power back."""
        lab.boot(self.federation, self.home, (node,))

    def cut(self, node: Node, other: Node) -> None:
        """Take two nodes off each other."""
        lab.cut(self.federation, self.home, node, other)

    def heal(self) -> None:
        """Undo every cut."""
        lab.heal(self.federation, self.home)
