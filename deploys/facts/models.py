"""Models on an inference node."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class ModelState(FactBase[dict[str, Any]]):
    """The digest of the complete model in a folder, and what arrived of one that is not.

    ```
    {"marker": "9f86...", "incoming": {"model.safetensors": 4194304}}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {"marker": "", "incoming": {}}

    def command(self, path: str) -> StringCommand:
        return NodeScript("model_state", {"path": path}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state
