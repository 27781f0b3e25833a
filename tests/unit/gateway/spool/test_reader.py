"""What is shipped, of segments of this release and of those before."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.spool import frame, reader, segment
from gateway.spool.mark import Point
from gateway.spool.reader import Progress, Reader
from gateway.spool.recovery import tail

SEGMENT_BYTES = 64 * 1024


def record(number: int) -> bytes:
    return orjson.dumps({"kind": "a note", "number": number, "more": "x" * (number % 7 * 100)})


def write(folder: Path, number: int, first: int, *, old: bool, previous_end: int = 0) -> int:
    """A segment with a head and 60 records in 30 frames; where they end."""
    out = b""
    head = segment.Head(previous_end, 1).encode(number, first)
    frames = [head] + [
        frame.encode(number, first + 1 + turn * 2, [record(turn * 2), record(turn * 2 + 1)])
        for turn in range(30)
    ]
    for each in frames:
        size = frame.HEADER_BYTES + int.from_bytes(each[4:8], "little")
        out += each[: size + -size % 8] if old else each
    segment.path_of(folder, number).write_bytes(out.ljust(SEGMENT_BYTES, b"\0"))
    return len(out)


def shipped(folder: Path, mark: Point, limit: int) -> tuple[list[Any], Progress]:
    progress, events = Progress(), []
    (folder / "lock").touch()
    while True:
        batch = Reader(folder, "node").batch(progress, mark, limit)
        if batch.then == progress:
            return [orjson.loads(event) for event in batch_events(events)], progress
        events.append(batch.events)
        progress = batch.then


def batch_events(events: list[tuple[bytes, ...]]) -> list[bytes]:
    return [event for batch in events for event in batch]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("piece", [frame.MAX_BYTES, 4096])
def test_segments_of_both_kinds_are_read_whole_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, piece: int
) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", piece)
    end = write(tmp_path, 1, 1, old=True)
    end = write(tmp_path, 2, 62, old=True, previous_end=end)
    end = write(tmp_path, 3, 123, old=False, previous_end=end)
    end = write(tmp_path, 4, 184, old=False, previous_end=end)
    events, progress = shipped(tmp_path, Point(4, end, 244), limit)
    assert [event.get("number") for event in events] == [*range(60)] * 4
    assert (progress.damaged, progress.at) == (0, Point(4, end, 244))


@pytest.mark.parametrize("old", [True, False])
def test_a_run_goes_on_behind_either_kind(tmp_path: Path, old: bool) -> None:
    end = write(tmp_path, 1, 1, old=old)
    found = tail(tmp_path, 0, 0)
    assert (found.next_segment, found.next_sequence) == (2, 62)
    # Zeros up to the next block are no damage: they are where the next frame would have begun.
    assert found.previous_end == end + -end % frame.BLOCK


@pytest.mark.parametrize("old", [True, False])
def test_a_torn_last_frame_is_left_out(tmp_path: Path, old: bool) -> None:
    end = write(tmp_path, 1, 1, old=old)
    path = segment.path_of(tmp_path, 1)
    whole = bytearray(path.read_bytes())
    last = bytes(whole).rfind(frame.MAGIC)
    whole[last + 40] ^= 1
    path.write_bytes(whole)
    found = tail(tmp_path, 0, 0)
    assert (found.next_sequence, last <= found.previous_end <= end) == (60, True)
    write(tmp_path, 2, 60, old=False, previous_end=found.previous_end)
    events, progress = shipped(tmp_path, Point(2, 512, 60), 1000)
    assert [event["number"] for event in events] == [*range(58)]
    assert progress.damaged == 0


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("place", ["records", "behind them"])
def test_damage_is_said_and_costs_only_itself(tmp_path: Path, old: bool, place: str) -> None:
    end = write(tmp_path, 1, 1, old=old)
    path = segment.path_of(tmp_path, 1)
    whole = bytearray(path.read_bytes())
    third = list(frame.walk(bytes(whole), 0, 1))[3]
    if place == "records":
        whole[third.begin + 40] ^= 1
    elif old:
        pytest.skip("there is next to nothing behind them")
    else:
        whole[third.end - 1] ^= 1
    path.write_bytes(whole)
    events, progress = shipped(tmp_path, Point(1, end, 61), 1000)
    said = [event for event in events if event["kind"] == "audit.damaged"]
    missing = 2 if place == "records" else 0
    assert [event["data"]["records_missing"] for event in said] == [missing]
    assert len(events) == 60 - missing + 1
    assert progress.damaged == 1


def test_the_longest_frame_is_read_in_one_piece(tmp_path: Path) -> None:
    text = b'{"kind":"a note","x":"%s"}'
    longest = text % (b"x" * (frame.MAX_PAYLOAD - frame.cost(len(text) - 2)))
    whole = segment.Head(0, 1).encode(1, 1) + frame.encode(1, 2, [longest])
    assert len(whole) == frame.BLOCK + frame.MAX_BYTES
    segment.path_of(tmp_path, 1).write_bytes(whole)
    events, progress = shipped(tmp_path, Point(1, len(whole), 2), 1000)
    assert (len(events), progress.damaged) == (1, 0)
