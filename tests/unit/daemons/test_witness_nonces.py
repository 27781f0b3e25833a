"""Which nonces a witness remembers, and for how long."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemons.witness.nonces import FILE, MAX_BYTES, MAX_NONCES, TooMany, UsedNonces, Window
from daemons.witness.state import StateInvalid
from trust.http_signatures import MAX_NONCE, Verified

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
KEPT = timedelta(seconds=70)


def signed(nonce: str, caller: str = "anode", at: datetime = NOW) -> Verified:
    return Verified(caller, nonce, at, at + KEPT)


def taken(*nonces: str) -> Window:
    window = Window({})
    for nonce in nonces:
        after = window.after(signed(nonce), NOW)
        assert after is not None
        window = after
    return window


def test_a_nonce_counts_once_for_each_caller() -> None:
    window = taken("a", "b")
    assert window.after(signed("a"), NOW) is None
    assert window.after(signed("a", "bnode"), NOW) is not None
    assert window.after(signed("c"), NOW) is not None


def test_it_is_kept_for_as_long_as_its_signature_could_be_accepted_and_not_longer() -> None:
    window = taken("a")
    at_its_end = window.after(signed("b", at=NOW + KEPT), NOW + KEPT)
    assert at_its_end is not None and set(at_its_end.used) == {("anode", "a"), ("anode", "b")}
    later = NOW + KEPT + timedelta(seconds=1)
    after = window.after(signed("b", at=later), later)
    assert after is not None and set(after.used) == {("anode", "b")}


def test_none_is_forgotten_for_want_of_room() -> None:
    full = Window({("anode", str(n)): (NOW + KEPT).timestamp() for n in range(MAX_NONCES)})
    with pytest.raises(TooMany):
        full.after(signed("one more"), NOW)
    assert full.after(signed("7"), NOW) is None
    # What is written is read again, however long its names are.
    long = Window({("n" * 63, f"{n:0{MAX_NONCE}}"): NOW.timestamp() for n in range(MAX_NONCES)})
    assert len(long.encode()) < MAX_BYTES


def test_the_bytes_are_read_back() -> None:
    window = taken("a", "b")
    assert Window.decode(window.encode()) == window


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"version": 1}', b'{"version": 1, "used": [["a", "b"]]}', b'{"version": 2}'],
)
def test_damage_is_no_empty_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StateInvalid, match="delete it once the witness has been stopped"):
        UsedNonces(tmp_path)


def test_another_process_knows_what_the_first_one_took(tmp_path: Path) -> None:
    first = UsedNonces(tmp_path)
    assert first.take(signed("a"), NOW)
    assert not first.take(signed("a"), NOW)
    assert not UsedNonces(tmp_path).take(signed("a"), NOW)


def test_what_could_not_be_written_is_not_taken(tmp_path: Path) -> None:
    used = UsedNonces(tmp_path)
    (tmp_path / f".{FILE}.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        used.take(signed("a"), NOW)
    (tmp_path / f".{FILE}.new").rmdir()
    assert used.take(signed("a"), NOW)
