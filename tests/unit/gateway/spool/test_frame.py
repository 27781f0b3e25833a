"""Frames: what is damaged is never read as something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.spool import frame

RECORDS = st.lists(st.lists(st.binary(max_size=60), min_size=1, max_size=4), min_size=1, max_size=6)


def written(batches: list[list[bytes]], segment: int = 3) -> bytes:
    out, sequence = b"", 1
    for batch in batches:
        out += frame.encode(segment, sequence, batch)
        sequence += len(batch)
    return out


def read(buffer: bytes, segment: int = 3) -> list[tuple[int, bytes]]:
    return [
        (found.sequence + place, record)
        for found in frame.walk(buffer, 0, segment)
        for place, record in enumerate(found.records)
    ]


@given(RECORDS)
def test_what_was_written_is_read(batches: list[list[bytes]]) -> None:
    flat = [record for batch in batches for record in batch]
    assert read(written(batches) + bytes(100)) == list(enumerate(flat, start=1))


@given(RECORDS, st.data())
def test_any_prefix_reads_as_a_prefix(batches: list[list[bytes]], data: st.DataObject) -> None:
    whole = written(batches)
    cut = data.draw(st.integers(0, len(whole)))
    found = read(whole[:cut])
    assert found == read(whole)[: len(found)]


@given(RECORDS, st.data())
def test_a_flipped_bit_never_makes_another_record(
    batches: list[list[bytes]], data: st.DataObject
) -> None:
    whole = bytearray(written(batches))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[place // 8] ^= 1 << place % 8
    true = dict(read(written(batches)))
    for number, record in read(bytes(whole)):
        assert true[number] == record
    later = frame.find(bytes(whole), 0, 3, 0)
    if later is not None:
        for offset, record in enumerate(later.records):
            assert true[later.sequence + offset] == record


@given(st.binary(max_size=400))
def test_noise_is_no_frame(noise: bytes) -> None:
    assert frame.decode(noise, 0, 1) is None
    assert frame.decode(frame.MAGIC + noise, 0, 1) is None


def test_a_frame_of_another_segment_is_none_of_ours() -> None:
    assert frame.decode(frame.encode(1, 1, [b"x"]), 0, 2) is None


@pytest.mark.parametrize("records", [[], [bytes(frame.MAX_PAYLOAD)]])
def test_nothing_and_too_much_are_refused(records: list[bytes]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        frame.encode(1, 1, records)


def test_the_frame_behind_damage_is_found_by_its_number() -> None:
    whole = bytearray(written([[b"a" * 50], [b"b"], [b"c"]]))
    whole[40] ^= 1
    found = frame.find(bytes(whole), 0, 3, 0)
    assert found is not None and (found.sequence, found.records) == (2, (b"b",))
    assert frame.find(bytes(whole), 0, 3, 3) is None
