"""A key made on a node: whether there is one, and its public half."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class NoteKey(FactBase[dict[str, Any]]):
    """What `deploys/remote/note_key.py` returns; never the key itself.

    ```
    {"state": "there", "public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {"state": "absent", "public": ""}

    def command(self, path: str, credential: str) -> StringCommand:
        argument = {"path": path, "credential": credential, "make": False}
        return NodeScript("note_key", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state
