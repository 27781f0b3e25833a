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


def as_before(batches: list[list[bytes]], segment: int = 3) -> bytes:
    """As releases before wrote them: frames at multiples of 8, one right behind the other."""
    out, sequence = b"", 1
    for batch in batches:
        whole = frame.encode(segment, sequence, batch)
        end = frame.HEADER_BYTES + sum(frame.cost(len(record)) for record in batch)
        out += whole[: end + -end % 8]
        sequence += len(batch)
    return out


@given(RECORDS)
def test_frames_begin_at_blocks(batches: list[list[bytes]]) -> None:
    whole = written(batches)
    places = [(found.begin % frame.BLOCK, found.end % frame.BLOCK)
              for found in frame.walk(whole, 0, 3)]  # fmt: skip
    assert places == [(0, 0)] * len(batches)
    assert len(whole) % frame.BLOCK == 0


@given(RECORDS, st.integers(0, 2000))
def test_what_an_earlier_release_wrote_is_read(batches: list[list[bytes]], rest: int) -> None:
    flat = [record for batch in batches for record in batch]
    assert read(as_before(batches) + bytes(rest)) == list(enumerate(flat, start=1))


@given(RECORDS, RECORDS)
def test_where_frames_end_does_not_depend_on_where_reading_begins(
    old: list[list[bytes]], new: list[list[bytes]]
) -> None:
    for whole in (as_before(old), written(new)):
        frames = list(frame.walk(whole, 0, 3))
        for place, found in enumerate(frames):
            start = found.begin - found.begin % frame.BLOCK
            again = list(frame.walk(whole[start:], found.begin - start, 3))
            assert [each.sequence for each in again] == [e.sequence for e in frames[place:]]
            assert [each.end + start for each in again] == [e.end for e in frames[place:]]


def test_a_bit_that_flips_behind_a_frame_is_damage_that_costs_no_record() -> None:
    whole = bytearray(written([[b"a"], [b"b"]]))
    whole[100] ^= 1
    assert read(bytes(whole)) == [(1, b"a")]
    found = frame.find(bytes(whole), 40, 3, 1)
    assert found is not None and found.records == (b"b",)
