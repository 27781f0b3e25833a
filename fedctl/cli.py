"""The tree of commands. Each module of `fedctl.commands` holds one group, or a few of a kind.

Modules are imported when one of their commands is used: a shell completing a word, or somebody
asking for `runs list`, does not wait for SSH and databases to load.
"""

import click

from fedctl.app import LazyGroup, global_options
from fedctl.version import version

COMMANDS = {
    "up": "up:up",
    "plan": "deploying:plan",
    "apply": "deploying:apply",
    "bootstrap": "deploying:bootstrap",
    "status": "status:status",
    "service": "nodes:service",
    "logs": "nodes:logs",
    "exec": "nodes:exec_",
    "doctor": "doctor:doctor",
    "chat": "chat:chat",
    "keys": "keys:keys",
    "tenants": "tenants:tenants",
    "roles": "roles:roles",
    "usage": "usage:usage",
    "upstream": "upstream:upstream",
    "custody": "custody:custody",
    "prompts": "prompts:prompts",
    "ledger": "ledger:ledger",
    "backup": "backup:backup",
    "certs": "certs:certs",
    "secrets": "secrets:secrets",
    "lock": "lock:lock",
    "inventory": "inventory:inventory",
    "lab": "lab:lab",
    "runs": "runs:runs",
    "completion": "completion:completion",
}


@click.group(
    cls=LazyGroup,
    lazy={name: f"fedctl.commands.{place}" for name, place in COMMANDS.items()},
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
