"""Which users a node has, in one round trip."""

from collections.abc import Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class UserStates(FactBase[dict[str, Any]]):
    """Users by name, None for those that do not exist.

    ```
    {"fedop": {"uid": 1000, "gid": 1000, "home": "/home/fedop", "shell": "/bin/bash",
               "groups": ["adm"]}}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {}

    def command(self, users: Sequence[str]) -> StringCommand:
        return NodeScript("users_state", {"users": list(users)}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        states: dict[str, Any] = decode(output)
        return states
