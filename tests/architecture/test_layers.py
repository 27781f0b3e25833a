"""docs/explanation/architecture.md draws the packages as the import contracts have them."""

import re
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
CONTRACTS = PROJECT["tool"]["importlinter"]


def layers() -> list[set[str]]:
    """The packages of each layer, from the bottom up."""
    (contract,) = [c for c in CONTRACTS["contracts"] if c["type"] == "layers"]
    return [set(layer.split(" | ")) for layer in reversed(contract["layers"])]


def drawn() -> list[set[str]]:
    """The packages of each row of the page's table, from its top."""
    page = (REPOSITORY / "docs" / "explanation" / "architecture.md").read_text()
    section = page.partition("## Packages, from the bottom up")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [set(re.findall(r"`([a-z]+)`", row)) for row in rows]


def test_the_page_draws_the_layers_that_are_checked() -> None:
    assert drawn() == layers()


def test_every_package_of_ours_is_in_a_layer() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert packages == set().union(*layers()) == set(CONTRACTS["root_packages"])
