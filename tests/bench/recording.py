"""`python -m tests.bench.recording FOLDER`: plan, and write down what each node was asked about.

Every question our deploys ask a node is a script with an argument; `FOLDER/NODE.jsonl` gets one
line for each. On a converged fleet the questions name all there is to keep: paths, packages, units.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pyinfra.context import host

from deploys.command import main
from deploys.script import NodeScript

_original = NodeScript.__init__


def record_into(folder: Path) -> None:
    """From here on every script made in this process or its forks is written down."""

    def recorded(self: NodeScript, name: str, argument: Any, *rest: Any, **options: Any) -> None:
        with (folder / f"{host.name}.jsonl").open("a") as file:
            file.write(json.dumps({"script": name, "argument": argument}) + "\n")
        _original(self, name, argument, *rest, **options)

    NodeScript.__init__ = recorded  # type: ignore[method-assign]


if __name__ == "__main__":
    record_into(Path(sys.argv[1]))
    sys.exit(main(["plan"]))
