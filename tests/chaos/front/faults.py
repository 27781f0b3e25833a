"""What is broken in a round of the gateways, and how it is put back. See tests.chaos.faults."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from inventory.model import Node
from tests.chaos import faults
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Fault
from tests.chaos.front import spool_disk
from tests.chaos.front.fleet import ENGINE, GATEWAY, TAKES, Fronts

Act = Callable[[Fronts, int], None]
FULL_SECONDS, CUT_SECONDS = 8.0, 120.0
FULL, CUT = "a gateway's spool disk full", "a gateway cut off from Postgres"
TABLE = "inet chaos"


def kill_gateway(fronts: Fronts, number: int) -> None:
    """SIGKILL to a gateway, each in turn."""
    _forgive(fronts, fronts.gateway(number), GATEWAY)
    fronts.kill_main(fronts.gateway(number), GATEWAY)


def kill_engine(fronts: Fronts, number: int) -> None:
    """SIGKILL to every process of vLLM."""
    _forgive(fronts, fronts.engine, ENGINE)
    fronts.shell(fronts.engine, f"systemctl kill -s KILL {ENGINE}")


def _forgive(fronts: Fronts, node: Node, unit: str) -> None:
    """Forget earlier rounds: a service that dies again and again is given up by systemd."""
    fronts.shell(node, f"systemctl reset-failed {unit}")


def fill_spool(seconds: float, burst: int) -> Act:
    """A gateway's spool gets a small disk, which is kept full until it refuses, and for so long.

    What it has allocated already is used up by the load, faster with a `burst` of requests.
    """

    def fill(fronts: Fronts, number: int) -> None:
        gateway = fronts.gateway(number)
        spool_disk.shrink(fronts, gateway)
        spool_disk.fill(fronts, gateway)
        try:
            if burst:
                fronts.burst(gateway, burst)
            fronts.wait(lambda: "it takes requests" if fronts.spool(gateway, TAKES) else "", 90)
            time.sleep(seconds)
        finally:
            spool_disk.free(fronts, gateway)

    return fill


def restore_spool(fronts: Fronts, number: int) -> None:
    """Its spool goes back to the machine's own disk, with all that is in it."""
    spool_disk.restore(fronts, fronts.gateway(number))


def cut_ledger(seconds: float) -> Act:
    """A gateway and its shipper reach no Postgres for so long; clients still reach the gateway."""

    def cut(fronts: Fronts, number: int) -> None:
        port = fronts.federation.ports.postgres
        chain = f"add chain {TABLE} out {{ type filter hook output priority 0; }}"
        rule = f"add rule {TABLE} out meta skuid fedgateway tcp dport {port} drop"
        fronts.shell(fronts.gateway(number), f"nft 'add table {TABLE}; {chain}; {rule}'")
        time.sleep(seconds)

    return cut


def heal_ledger(fronts: Fronts, number: int) -> None:
    """The way to Postgres is free again."""
    fronts.shell(fronts.gateway(number), f"nft delete table {TABLE} 2>/dev/null || true")


def mend_all(fronts: Fronts) -> None:
    """Whatever an interrupted round left."""
    for number, gateway in enumerate(fronts.gateways):
        heal_ledger(fronts, number)
        if spool_disk.is_small(fronts, gateway):
            restore_spool(fronts, number)


def _nothing(fronts: Fronts, number: int) -> None:
    """What the federation puts right by itself."""


def _fault(name: str, title: str, strike: Act, mend: Act) -> Fault:
    """As the rounds of the ledger want it."""

    def struck(cluster: Cluster, primary: Node, number: int) -> None:
        strike(cast(Fronts, cluster), number)

    def mended(cluster: Cluster, primary: Node, number: int) -> None:
        mend(cast(Fronts, cluster), number)

    return Fault(name, title, struck, mended)


FRONT_FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            _fault("gateway", "kill -9 of a gateway", kill_gateway, _nothing),
            _fault("vllm", "kill -9 of vLLM", kill_engine, _nothing),
            faults.FAULTS["postgres"],
            _fault("spool", FULL, fill_spool(FULL_SECONDS, 0), restore_spool),
            _fault("ledger", f"{CUT} for {CUT_SECONDS:.0f} s",
                   cut_ledger(CUT_SECONDS), heal_ledger),
        )
    }
)  # fmt: skip


# Shorter ones, without what the ledger's own rounds have.
BRIEF_FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        **{name: FRONT_FAULTS[name] for name in ("gateway", "vllm")},
        "spool": _fault("spool", FULL, fill_spool(2.0, burst=150), restore_spool),
        "ledger": _fault("ledger", CUT, cut_ledger(5.0), heal_ledger),
    }
)
