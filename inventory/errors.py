"""What can be wrong with an inventory.

InventoryError
├── InventoryMissing      there is no such file, or it cannot be read
├── InventoryInvalid      the file says something the model refuses (one Problem a finding)
└── UnknownNode           a selector names nothing in this inventory

Inconsistent (a ValueError, as pydantic's validators must raise) carries Problems out of the model;
`load` turns it into InventoryInvalid.
"""

from dataclasses import dataclass
from pathlib import Path


class InventoryError(Exception):
    """Base of everything this package raises on purpose."""


class InventoryMissing(InventoryError):
    """The inventory file does not exist or cannot be read."""


@dataclass(frozen=True)
class Problem:
    """One finding: which field, what it holds, what was expected."""

    field: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.expected}"


class Inconsistent(ValueError):
    """Parts of an inventory, each valid by itself, contradict each other."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


class InventoryInvalid(InventoryError):
    """The file was read and refused; `problems` lists every finding, not only the first."""

    def __init__(self, path: Path | str, problems: tuple[Problem, ...]) -> None:
        self.path = path
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{path} is not a valid inventory:\n{lines}")


class UnknownNode(InventoryError):
    """A node or group selector that matches nothing."""

    def __init__(self, selector: str, known: tuple[str, ...]) -> None:
        self.selector = selector
        super().__init__(f"{selector!r} matches no node; known: {', '.join(known)}")
