"""`custody ...`: data keys that any two of client, gateway and guardian open, and none alone.

The commands are in `custody_keys` and `custody_loss`; this is the group.
"""

import click

from fedctl.app import FedGroup
from fedctl.commands.custody_keys import init, rotate, status
from fedctl.commands.custody_loss import drill, recover


@click.group(cls=FedGroup)
def custody() -> None:
    """Data keys of which client, gateway and guardian each have a share: any two open them."""


for _command in (init, status, rotate, recover, drill):
    custody.add_command(_command)
