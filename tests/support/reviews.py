"""What tests of reviews of rights share: giving, taking, and days that pass."""

from datetime import timedelta

from ledger.connect import Connection
from ledger.custody import By
from ledger.keys import issue, show
from ledger.roles import Proposal, propose
from tests.support.postgres import Server
from trust.apikeys import Pepper

PEPPER = Pepper.parse("ef" * 32)
BY = By("ada@desk", "desk")
EFFECTS = "one more person sees usage; needed while the team has no dashboard"
MONTH = timedelta(days=30)


async def made(operator: Connection) -> str:
    made, _ = await issue(
        operator, PEPPER, name="k", scopes=["inference"], models=None, expires_at=None, actor="t"
    )
    return made.id


async def give(connection: Connection, subject: str, what: str = "role:developer") -> Proposal:
    return await propose(
        connection, BY, subject=subject, action="give", what=what, why="asked", effects=EFFECTS,
        reversible_for=MONTH,
    )  # fmt: skip


async def take(connection: Connection, subject: str, what: str = "role:developer") -> Proposal:
    return await propose(connection, BY, subject=subject, action="take", what=what, why="left")


async def rights(operator: Connection, key: str) -> set[str]:
    record = await show(operator, key)
    return {
        *(f"scope:{scope}" for scope in record.scopes),
        *(f"role:{role}" for role in record.roles),
    }


_MOVED = {
    "role_proposals": ("proposed_at", "lapses_at", "decided_at", "reverted_at"),
    "operators": ("since", "removed_at"),
}


def days_passing(days: int) -> str:
    """SQL for the superuser: all of reviews happened so many days earlier."""
    changes = (
        f"UPDATE ledger.{table} SET "  # noqa: S608
        + ", ".join(f"{column} = {column} - interval '{days} days'" for column in columns)
        for table, columns in _MOVED.items()
    )
    return ";".join(("SET session_replication_role = replica", *changes, "RESET ALL"))


def days_pass(database: Server, days: int) -> None:
    """Everything that was proposed, enrolled or taken off was so many days ago."""
    database.psql(days_passing(days), "federation")
