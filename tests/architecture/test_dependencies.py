"""docs/decisions/0001-dependencies.md gives a reason for every package we ask for, and no other."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "decisions" / "0001-dependencies.md").read_text()
SETS = sorted(path.stem for path in (REPOSITORY / "requirements").glob("*.in"))


def asked_for(name: str) -> set[str]:
    """The packages a `.in` file names itself, without versions, extras and `-r` lines."""
    lines = (REPOSITORY / "requirements" / f"{name}.in").read_text().splitlines()
    found = (re.match(r"[a-z0-9-]+", line) for line in lines if not line.startswith(("#", "-")))
    return {match[0] for match in found if match}


def explained() -> dict[str, set[str]]:
    """Set -> the packages the page has a row for."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] not in ("package", "---"):
            for name in cells[1].split(", "):
                found[name] |= set(cells[0].split(", "))
    return found


@pytest.mark.parametrize("name", SETS)
def test_every_package_of_a_set_has_its_reason(name: str) -> None:
    assert explained()[name] == asked_for(name)


def test_no_other_set_is_named() -> None:
    assert set(explained()) == set(SETS)
