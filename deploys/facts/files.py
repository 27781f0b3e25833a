"""What is at some paths of a node, in one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class PathStates(FactBase[dict[str, dict[str, Any]]]):
    """Kind, mode, owner and sha256 of every path asked for.

    ```
    {
        "/etc/motd": {"kind": "file", "mode": 420, "owner": "root", "group": "root",
                      "sha256": "9f86...", "content": "b2xkCg=="},
        "/etc/nologin": {"kind": "absent"},
    }
    ```

    `content` (base64) is there only for a file that differs from `wanted` and is not secret.
    """

    @staticmethod
    def default() -> dict[str, dict[str, Any]]:
        return {}

    def command(
        self, paths: Sequence[str], wanted: Mapping[str, str], secret: Sequence[str]
    ) -> StringCommand:
        argument = {"paths": list(paths), "wanted": dict(wanted), "secret": list(secret)}
        return NodeScript("files_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, dict[str, Any]]:
        states: dict[str, dict[str, Any]] = decode(output)
        return states
