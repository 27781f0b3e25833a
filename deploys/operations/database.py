"""Make the federation's roles and database in its PostgreSQL, and the ledger's schema.

One fact and at most one command each. The SQL is the ledger's (`ledger/cluster.sql`, migrations);
what is missing is found by running the very same script with its effects left out.
"""

from collections.abc import Generator
from importlib.resources import files

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.database import DatabaseState, MigrationState
from deploys.layout import PYTHON
from deploys.operations.replication import leads
from deploys.protocol import Change
from deploys.script import NodeScript
from inventory.model import Federation, Node

MIGRATION_TIMEOUT_SECONDS = 900
ERROR_LENGTH = 300


def cluster_sql() -> str:
    """The ledger's script that makes roles and database."""
    return files("ledger").joinpath("cluster.sql").read_text()


@operation()
def database(
    federation: Federation, node: Node, socket: str, port: int
) -> Generator[NodeScript, None, None]:
    """Have the federation's roles and database, per `ledger/cluster.sql`, where this node leads."""
    if not leads(federation, node):
        host.noop("this node does not lead")
        return
    sql = cluster_sql()
    state = host.get_fact(DatabaseState, socket=socket, port=port, sql=sql)
    if state["complete"]:
        host.noop("roles and database are as they should be")
        return
    changes = [Change("run", statement) for statement in state["pending"]]
    # Before the first roles exist the script cannot say what it would do after them.
    changes = changes or [Change("run", "ledger/cluster.sql")]
    announce(changes)
    argument = {"socket": socket, "port": port, "sql": sql}
    yield NodeScript("database_create", argument, [str(change) for change in changes])


@operation()
def migrated(
    federation: Federation, node: Node, user: str, dsn: str, python: str = PYTHON
) -> Generator[NodeScript, None, None]:
    """Have every migration of the installed release applied, where this node leads.

    A changed applied migration, or one the release does not know, fails with the ledger's sentence.
    """
    if leads(federation, node) is False:
        host.noop("another node leads")
        return
    command = {"python": python, "user": user, "dsn": dsn}
    state = host.get_fact(MigrationState, **command)
    if state is not None and not state["error"] and not state["pending"]:
        host.noop(f"the schema is at version {state['version']}")
        return
    if state is None:
        changes = [Change("migrate", "every migration of the release")]
    elif state["error"]:
        changes = [Change("migrate", f"refused: {state['error']['message'][:ERROR_LENGTH]}")]
    else:
        changes = [Change("migrate", name) for name in state["pending"]]
    announce(changes)
    yield NodeScript(
        "migrations_up",
        command,
        # A refusal is said once: by the ledger, when it is run.
        ["migrate"] if state and state["error"] else [str(change) for change in changes],
        timeout_seconds=MIGRATION_TIMEOUT_SECONDS,
    )
