"""What no file says about a machine, in one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class MachineState(FactBase[dict[str, Any]]):
    """Running name, settable kernel settings, locked accounts, services with newer files.

    ```
    {"hostname": "a", "sysctl": {"net.ipv4.tcp_syncookies": "1"}, "locked": ["root"], "stale": []}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {"hostname": "", "sysctl": {}, "locked": [], "stale": []}

    def command(
        self, sysctl: Sequence[str], accounts: Sequence[str], read: Mapping[str, Sequence[str]]
    ) -> StringCommand:
        argument = {
            "sysctl": list(sysctl),
            "accounts": list(accounts),
            "read": {unit: list(paths) for unit, paths in read.items()},
        }
        return NodeScript("machine_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state
