"""The shipper's position on disk: read back as it was, and with room for the next one."""

from pathlib import Path
from uuid import UUID

from gateway.spool import shipped
from gateway.spool.mark import Point
from gateway.spool.reader import Progress

LONG = Progress(Point(9, 4096, 70), {str(UUID(int=number)): "key" for number in range(400)}, 3, 1)
SHORT = Progress(Point(10, 0, 71))


def test_a_position_is_read_back_whether_longer_or_shorter_than_the_last(tmp_path: Path) -> None:
    for progress in (SHORT, LONG, SHORT):
        shipped.save(tmp_path, progress)
        assert shipped.load(tmp_path) == progress


def test_the_next_position_has_its_room_before_it_is_written(tmp_path: Path) -> None:
    shipped.prepare(tmp_path)
    for _ in range(3):
        room = (tmp_path / shipped.NEXT).stat()
        assert room.st_blocks * 512 >= shipped.ROOM_BYTES
        shipped.save(tmp_path, SHORT)
        assert (tmp_path / shipped.NAME).stat().st_ino == room.st_ino


def test_what_was_there_is_not_begun_again(tmp_path: Path) -> None:
    shipped.save(tmp_path, LONG)
    shipped.prepare(tmp_path)
    assert shipped.load(tmp_path) == LONG
