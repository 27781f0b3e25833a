"""Which system users a node has, in one round trip."""

from collections.abc import Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class SystemUserStates(FactBase[dict[str, Any]]):
    """Which of the users exist, and the text of the sysusers.d file (None: there is none).

    ```
    {"users": ["fednode"], "text": "u fednode - ..."}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {"users": [], "text": None}

    def command(self, path: str, users: Sequence[str]) -> StringCommand:
        return NodeScript(
            "system_users_state", {"path": path, "users": list(users)}, on_stdin=False
        )

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state
