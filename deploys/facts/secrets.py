"""Encrypted credentials on a node, compared without ever bringing them back."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class SecretState(FactBase[str]):
    """`absent`, `same` or `different`, against the SHA-256 of what a credential should hold."""

    @staticmethod
    def default() -> str:
        return "absent"

    def command(self, path: str, credential: str, sha256: str) -> StringCommand:
        argument = {"path": path, "name": credential, "sha256": sha256}
        return NodeScript("secret_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> str:
        answer: dict[str, Any] = decode(output)
        return str(answer["state"])
