"""The loader of named SQL: a malformed file fails when it is loaded."""

import re
from pathlib import Path

import pytest

from ledger import queries

ROOT = Path(queries.__file__).parent


def test_blocks_are_found_by_name() -> None:
    text = (
        "-- head\n\n-- name: one\n-- For one.\nSELECT 1\n\n-- name: two\n-- For two.\nSELECT\n 2\n"
    )
    assert dict(queries.parse(text)) == {"one": "SELECT 1", "two": "SELECT\n 2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: one\nSELECT 1\n", "one line of description"),
        ("-- name: one\n-- For one.\n\n", "a statement"),
        ("-- name: one\n-- For.\nSELECT 1\n-- name: one\n-- For.\nSELECT 2\n", "defined twice"),
    ],
)
def test_malformed_files_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        queries.parse(text)


def test_every_query_is_used_and_every_used_query_exists() -> None:
    used = set()
    for path in ROOT.glob("*.py"):
        used |= set(re.findall(r'QUERIES\["([a-z0-9_]+)"\]', path.read_text()))
    assert used == set(queries.QUERIES)


def test_python_holds_no_sql() -> None:
    statement = re.compile(r'"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|GRANT) ')
    for path in ROOT.glob("*.py"):
        assert not statement.search(path.read_text()), path.name
