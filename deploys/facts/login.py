"""A login user of a node."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class LoginState(FactBase[dict[str, str] | None]):
    """Home and shell of the user; None when there is none of that name.

    ```
    {"home": "/home/fedop", "shell": "/bin/bash"}
    ```
    """

    @staticmethod
    def default() -> dict[str, str] | None:
        return None

    def command(self, user: str) -> StringCommand:
        return NodeScript("login_state", {"user": user}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, str] | None:
        state: Any = decode(output)
        return {str(k): str(v) for k, v in state.items()} if state else None
