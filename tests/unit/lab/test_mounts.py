"""Reading mount tables, and refusing to delete through a mount."""

from pathlib import Path

import pytest

from lab import mounts
from lab.errors import LabError, StillThere

TABLE = """\
22 28 0:21 / /proc rw,relatime - proc proc rw
28 1 254:0 / / rw - ext4 /dev/vda rw
90 28 0:40 / /srv/a\\040b/root rw - overlay overlay rw
"""


def test_reads_mount_points_with_blanks_in_them() -> None:
    assert mounts.parse_mountinfo(TABLE) == (Path("/proc"), Path("/"), Path("/srv/a b/root"))


def test_knows_what_is_mounted() -> None:
    assert mounts.mounted(Path("/proc"))
    assert not mounts.mounted(Path("/proc/self"))


def test_never_deletes_what_has_a_mount_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 2 0:1 / {tmp_path}/node/root rw - overlay overlay rw\n")
    monkeypatch.setattr(mounts, "MOUNTINFO", table)
    (tmp_path / "node" / "root").mkdir(parents=True)
    with pytest.raises(StillThere, match="mounted in it"):
        mounts.remove_tree(tmp_path / "node")
    assert (tmp_path / "node" / "root").is_dir()


def test_deletes_what_has_none_and_minds_nothing_that_is_absent(tmp_path: Path) -> None:
    (tmp_path / "node" / "upper").mkdir(parents=True)
    mounts.remove_tree(tmp_path / "node")
    mounts.remove_tree(tmp_path / "node")
    assert not (tmp_path / "node").exists()


def test_refuses_paths_that_overlay_options_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="plain"):
        mounts.mount_overlay(Path("/a:b"), tmp_path / "u", tmp_path / "w", tmp_path / "m")
