"""`ledger ...`: look at the federation's log, verify it, prove events of it.

The commands are in `ledger_replication`, `ledger_verify`, `ledger_restore` and `ledger_events`;
this is the group.
"""

import click

from fedctl.app import FedGroup
from fedctl.commands.ledger_events import search, show, tail
from fedctl.commands.ledger_replication import failover, status, switchover
from fedctl.commands.ledger_restore import accept_restore
from fedctl.commands.ledger_verify import check_proof, policy, proof, verify


@click.group(cls=FedGroup)
def ledger() -> None:
    """The log nobody can quietly rewrite, and the replicated database it is in."""


for _command in (
    status,
    switchover,
    failover,
    verify,
    proof,
    check_proof,
    policy,
    accept_restore,
    tail,
    show,
    search,
):
    ledger.add_command(_command)
