"""Python environments on a node, and the wheels it already has."""

from dataclasses import dataclass, field

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


@dataclass(frozen=True)
class Environments:
    """`installed` maps names to the digest of what they were made of; `link` is the one in use.

    `pool` holds the hashes of the wheels at hand; `incoming` maps the names of files that arrived
    but were not looked at yet to their size in bytes.
    """

    installed: dict[str, str] = field(default_factory=dict)
    link: str = ""
    pool: tuple[str, ...] = ()
    incoming: dict[str, int] = field(default_factory=dict)


class EnvironmentState(FactBase[Environments]):
    """What is installed below a folder and what its link points at."""

    @staticmethod
    def default() -> Environments:
        return Environments()

    def command(self, folder: str, link: str, wheelhouse: str) -> StringCommand:
        argument = {"folder": folder, "link": link, "wheelhouse": wheelhouse}
        return NodeScript("environments_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> Environments:
        data = decode(output)
        return Environments(data["installed"], data["link"], tuple(data["pool"]), data["incoming"])
