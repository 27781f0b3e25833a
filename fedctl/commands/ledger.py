"""`ledger ...`: look at the federation's log, verify it, prove events of it.

The commands are in `ledger_verify` and `ledger_events`; this is the group they are in.
"""

import click

from fedctl.app import FedGroup
from fedctl.commands.ledger_events import search, show, tail
from fedctl.commands.ledger_verify import check_proof, policy, proof, verify


@click.group(cls=FedGroup)
def ledger() -> None:
    """The log nobody can quietly rewrite: look at it, verify it, prove what is in it."""


for _command in (verify, proof, check_proof, policy, tail, show, search):
    ledger.add_command(_command)
