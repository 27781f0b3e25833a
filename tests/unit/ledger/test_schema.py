"""Which migrations run: files that are no sequence, databases that do not fit, every path."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import (
    MigrationError,
    MigrationsBroken,
    MigrationTampered,
    MigrationUnknown,
)
from ledger.schema import Applied, Half, Migration, discover, plan, verify

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def migration(version: int) -> Migration:
    def half(kind: str) -> Half:
        name = f"{version:04}_x.{kind}.sql"
        return Half(Path(name), "SELECT 1", f"{kind}{version}")

    return Migration(version, "x", half("up"), half("down"))


FOUR = tuple(migration(version) for version in range(1, 5))


def applied(*versions: int) -> tuple[Applied, ...]:
    return tuple(Applied(v, "x", f"up{v}", f"down{v}", NOW) for v in versions)


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text(f"-- {name}")
    return folder


PAIR = ("0001_a.up.sql", "0001_a.down.sql")
FAULTS = {
    "no way back": (("0001_a.up.sql",), r"0001_a.down.sql is missing"),
    "no way forward": ((*PAIR, "0002_b.down.sql"), r"0002_b.up.sql is missing"),
    "a gap": ((*PAIR, "0003_b.up.sql", "0003_b.down.sql"), r"\[1, 3\], not 1 to 2"),
    "a number twice": ((*PAIR, "0001_b.up.sql", "0001_b.down.sql"), r"\[1, 1\], not 1 to 2"),
    "a beginning at 0": (("0000_a.up.sql", "0000_a.down.sql"), r"\[0\]"),
    "halves of two names": (("0001_a.up.sql", "0001_b.down.sql"), r"0001_a.down.sql is missing"),
    "another file": ((*PAIR, "notes.txt"), r"notes.txt is not named like"),
    "an editor's leftover": ((*PAIR, "0001_a.up.sql~"), r"up.sql~ is not named like"),
    "capitals": ((*PAIR, "0002_B.up.sql"), r"0002_B.up.sql is not named like"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_files_that_are_no_sequence_are_refused(tmp_path: Path, case: str) -> None:
    names, message = FAULTS[case]
    with pytest.raises(MigrationsBroken, match=message):
        discover(write(tmp_path, *names))


def test_our_own_files_are_a_sequence_and_stay_within_a_transaction() -> None:
    migrations = discover()
    assert [m.version for m in migrations] == list(range(1, len(migrations) + 1))
    for half in (half for m in migrations for half in (m.up, m.down)):
        statements = {line.strip().upper().rstrip(";") for line in half.text.splitlines()}
        # A migration that ends its own transaction would survive its own failure.
        assert not statements & {"COMMIT", "ROLLBACK", "BEGIN TRANSACTION", "START TRANSACTION"}
        assert "CONCURRENTLY" not in half.text.upper()


def test_no_files_are_an_empty_sequence(tmp_path: Path) -> None:
    assert discover(tmp_path) == ()


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    write(tmp_path, *PAIR)
    before = discover(tmp_path)[0].up.sha256
    (tmp_path / PAIR[0]).write_bytes((tmp_path / PAIR[0]).read_bytes() + b"\r\n")
    assert discover(tmp_path)[0].up.sha256 != before


@given(st.integers(0, 4), st.integers(-2, 7) | st.none())
def test_up_ends_where_it_is_told_or_refuses(at: int, target: int | None) -> None:
    present = applied(*range(1, at + 1))
    goal = 4 if target is None else target
    if not at <= goal <= 4:
        with pytest.raises(MigrationError, match="cannot go up"):
            plan(FOUR, present, "up", target)
        return
    steps = plan(FOUR, present, "up", target)
    assert [step.migration.version for step in steps] == list(range(at + 1, goal + 1))
    assert all(step.half == step.migration.up for step in steps)


@given(st.integers(0, 4), st.integers(-2, 7) | st.none())
def test_down_ends_where_it_is_told_or_refuses(at: int, target: int | None) -> None:
    present = applied(*range(1, at + 1))
    goal = max(at - 1, 0) if target is None else target
    if not 0 <= goal <= at:
        with pytest.raises(MigrationError, match="cannot go down"):
            plan(FOUR, present, "down", target)
        return
    steps = plan(FOUR, present, "down", target)
    assert [step.migration.version for step in steps] == list(range(at, goal, -1))
    assert all(step.half == step.migration.down for step in steps)


@pytest.mark.parametrize("half", ["up", "down"])
def test_a_changed_half_names_the_file_and_both_digests(half: str) -> None:
    recorded = Applied(
        2, "x", *("other" if half == kind else f"{kind}2" for kind in ("up", "down")), NOW
    )
    with pytest.raises(MigrationTampered) as caught:
        verify(FOUR, (*applied(1), recorded))
    assert (caught.value.recorded, caught.value.found) == ("other", f"{half}2")
    assert f"0002_x.{half}.sql was changed after it was applied" in str(caught.value)


def test_a_record_with_a_gap_is_refused() -> None:
    with pytest.raises(MigrationError, match="0003_x is applied but not 0002"):
        verify(FOUR, applied(1, 3))


def test_a_database_ahead_of_the_files_is_refused() -> None:
    with pytest.raises(MigrationUnknown, match="0003_x"):
        verify(FOUR[:2], applied(1, 2, 3))
