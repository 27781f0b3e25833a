"""What a data node's etcd and Patroni say, in one round trip each; before they run: nothing."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class EtcdMember(FactBase[dict[str, Any]]):
    """Whether there is an etcd member's data in a folder: `{"member": True}`."""

    @staticmethod
    def default() -> dict[str, Any]:
        return {"member": False}

    def command(self, data: str) -> StringCommand:
        return NodeScript("etcd_state", {"data": data}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state


class Consensus(FactBase[dict[str, str] | None]):
    """What the data nodes agreed on, as this node's etcd has it; None while it cannot be asked.

    ```
    {"founder": "alpha", "ledger/initialize": "74", "ledger/leader": "beta", "ledger/config": "{}"}
    ```
    """

    @staticmethod
    def default() -> None:
        return None

    def command(self, url: str, prefix: str, identity: dict[str, str]) -> StringCommand:
        argument = {"url": url, "prefix": prefix, **identity}
        return NodeScript("consensus_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, str] | None:
        state: dict[str, str] | None = decode(output)
        return state


class PatroniState(FactBase[dict[str, Any] | None]):
    """What the node's Patroni says of itself; None while it does not answer.

    ```
    {"state": "running", "role": "replica", "pending_restart": False, "replicating": "streaming"}
    ```
    """

    @staticmethod
    def default() -> None:
        return None

    def command(self, url: str, identity: dict[str, str]) -> StringCommand:
        return NodeScript("patroni_state", {"url": url, **identity}, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any] | None:
        state: dict[str, Any] | None = decode(output)
        return state
