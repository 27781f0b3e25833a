"""Which Debian packages a node has, in one round trip."""

from collections.abc import Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class PackageStates(FactBase[dict[str, Any]]):
    """Versions of those of the packages that are installed, and whether dpkg was interrupted.

    ```
    {"installed": {"chrony": "4.3-2+deb12u1"}, "interrupted": False}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {"installed": {}, "interrupted": False}

    def command(self, packages: Sequence[str]) -> StringCommand:
        return NodeScript("packages_state", {"packages": list(packages)}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        states: dict[str, Any] = decode(output)
        return states
