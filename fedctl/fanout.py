"""One command on many nodes at once, its lines shown as they come, each with its node's name."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from fedctl.app import App
from fedctl.remote import Link, Links
from inventory.model import Node

COLOURS = ("cyan", "magenta", "blue", "yellow", "green", "bright_red", "bright_cyan", "white")


@dataclass
class Ended:
    """How the command ended on one node; lines only when they were collected."""

    node: str
    code: int = 0
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    def value(self) -> dict[str, Any]:
        """For `--json`."""
        out, err = "\n".join(self.out), "\n".join(self.err)
        return {"node": self.node, "exit_code": self.code, "stdout": out, "stderr": err}


def on_each(
    app: App,
    links: Links,
    nodes: Sequence[Node],
    argv: Sequence[str],
    *,
    root: bool = False,
    collect: bool = False,
) -> list[Ended]:
    """Run `argv` on every node that can be reached; `links.failed` has the others."""
    guard = threading.Lock()
    width = max(len(node.name) for node in nodes)
    colours = {node.name: COLOURS[n % len(COLOURS)] for n, node in enumerate(nodes)}

    def run(link: Link) -> Ended:
        ended = Ended(link.node.name)

        def line(text: str, is_error: bool) -> None:
            if collect:
                (ended.err if is_error else ended.out).append(text)
                return
            with guard:
                _show(app, link.node.name, text, is_error, width, colours[link.node.name])

        ended.code = link.stream(argv, line, root=root)
        return ended

    return list(links.ask(nodes, run).values())


def _show(app: App, node: str, text: str, is_error: bool, width: int, colour: str) -> None:
    if app.json:
        app.output.text(text)
        return
    shown = Text.assemble((f"{node:<{width}} | ", colour), Text(text))
    if is_error:
        app.output.people.print(shown)
    else:
        app.output.styled(shown)
