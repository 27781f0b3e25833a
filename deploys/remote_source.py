"""The scripts of `deploys/remote/` as text, for whoever sends them to a node.

Imports nothing: `fedctl` talks to nodes without pyinfra, whose import takes as long as half of its
start.
"""

from functools import cache
from pathlib import Path

REMOTE = Path(__file__).parent / "remote"


@cache
def source(name: str) -> str:
    """The text of `deploys/remote/NAME.py`."""
    return (REMOTE / f"{name}.py").read_text()
