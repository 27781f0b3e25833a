"""Whether a node's loaded firewall is the one in its file, in one round trip."""

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class FirewallState(FactBase[str]):
    """One word: `loaded`, `missing`, `changed` (by hand) or `older` than the file."""

    @staticmethod
    def default() -> str:
        return "missing"

    def command(self, path: str, table: str, record: str) -> StringCommand:
        argument = {"path": path, "table": table, "record": record}
        return NodeScript("firewall_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> str:
        state: str = decode(output)["state"]
        return state
