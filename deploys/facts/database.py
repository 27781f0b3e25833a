"""What a node's PostgreSQL has, in one round trip each; before it is installed: nothing."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class ClusterState(FactBase[dict[str, Any]]):
    """Version of the cluster in a folder: `{"version": "15"}`, or `{"version": None}`."""

    @staticmethod
    def default() -> dict[str, Any]:
        return {"version": None}

    def command(self, data: str) -> StringCommand:
        return NodeScript("cluster_state", {"data": data}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state


class DatabaseState(FactBase[dict[str, Any]]):
    """What a psql script made of `SELECT ... \\gexec` would do, without doing it.

    ```
    {"complete": False, "pending": ["CREATE ROLE fed_metrics ..."]}
    ```

    Not complete with nothing pending means that it could not be said: no server answers yet, or
    a later statement depends on an earlier one.
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {"complete": False, "pending": []}

    def command(self, socket: str, port: int, sql: str) -> StringCommand:
        argument = {"socket": socket, "port": port, "sql": sql}
        return NodeScript("database_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state


class MigrationState(FactBase[dict[str, Any] | None]):
    """What `python -m ledger status` says on the node; None while it cannot be asked.

    ```
    {"version": 2, "latest": 3, "applied": [...], "pending": ["0003_events"], "error": None}
    ```
    """

    @staticmethod
    def default() -> None:
        return None

    def command(self, python: str, user: str, dsn: str) -> StringCommand:
        argument = {"python": python, "user": user, "dsn": dsn}
        return NodeScript("migrations_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any] | None:
        state: dict[str, Any] | None = decode(output)
        return state
