"""docs/reference/roles.md names every right, every event and every number as the code has them."""

import re
from pathlib import Path

from ledger.roles import REVIEW, STEPS
from ledger.schema import FOLDER as MIGRATIONS
from trust.permissions import Role, Scope, needs_review

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "roles.md").read_text()
RULES = "\n".join(path.read_text() for path in sorted(MIGRATIONS.glob("*_roles.up.sql")))


def cells(first: str) -> list[str]:
    """The cells of the table's line whose last cell begins so."""
    return next(
        line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.endswith(f"{first} |")
    )


def named(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_every_right_is_in_its_line() -> None:
    reviewed = set(needs_review(Scope, Role))
    rights = {*(f"scope:{scope}" for scope in Scope), *(f"role:{role}" for role in Role)}
    assert named(cells("at once")[0]) == rights - reviewed
    assert named(cells("after a review")[0]) == reviewed
    assert named(cells("never")[0]) == {REVIEW}


def test_every_kind_of_event_is_there() -> None:
    kinds = {kind for kind in named(PAGE) if re.fullmatch(r"role\.[a-z]+", kind)}
    assert kinds == {"role.proposed", "role.taken", *STEPS.values()}


def test_the_numbers_are_the_servers() -> None:
    found = re.search(r"interval '(\d+) days', interval '(\d+) days', interval '(\d+) days'", RULES)
    assert found
    alone, lapses, reversible = found.groups()
    assert f"{alone} days after proposing it" in PAGE
    assert f"nobody approved it for {lapses} days" in PAGE
    assert f"{reversible} at most" in PAGE
