"""How systemd units stand, in one round trip."""

from collections.abc import Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class UnitStates(FactBase[dict[str, dict[str, Any]]]):
    """State of each unit asked for; `restart_needed` compares the loaded files with the disk.

    ```
    {
        "federation-gateway.service": {
            "load": "loaded", "active": "active", "sub": "running", "file": "enabled",
            "reload_needed": False, "restart_needed": True,
        },
    }
    ```
    """

    @staticmethod
    def default() -> dict[str, dict[str, Any]]:
        return {}

    def command(self, units: Sequence[str]) -> StringCommand:
        return NodeScript("units_state", {"units": list(units)}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, dict[str, Any]]:
        states: dict[str, dict[str, Any]] = decode(output)
        return states
