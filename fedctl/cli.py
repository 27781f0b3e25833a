"""The tree of commands. Each module of `fedctl.commands` holds one group, or a few of a kind."""

import click

from fedctl.app import FedGroup, global_options
from fedctl.commands import (  # one name a module
    certs,
    completion,
    deploying,
    doctor,
    inventory,
    keys,
    lab,
    lock,
    nodes,
    runs,
    status,
    up,
)
from fedctl.version import version


@click.group(
    cls=FedGroup,
    params=[*global_options()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 changes pending, 4 failed and rolled back, "
    "5 rollback failed, 6 unreachable, 7 locked, 130 interrupted.",
)
@click.version_option(version(), "--version", prog_name="fedctl")
def cli() -> None:
    """From bare machines to a private AI service, and keep it one.

    Data goes to stdout, everything for people to stderr. Selectors are node names or roles
    (gateway, data, inference, monitoring, worker, operator).
    """


for _command in (
    up.up,
    deploying.plan,
    deploying.apply,
    deploying.bootstrap,
    status.status,
    nodes.service,
    nodes.logs,
    nodes.exec_,
    doctor.doctor,
    keys.keys,
    certs.certs,
    lock.lock,
    inventory.inventory,
    lab.lab,
    runs.runs,
    completion.completion,
):
    cli.add_command(_command)
