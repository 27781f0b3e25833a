"""The root file system's key and what is said when making it fails."""

from pathlib import Path

import pytest

from inventory.home import Home
from inventory.progress import Silent
from lab import rootfs, sources
from lab.errors import LabNoSpace
from lab.sources import Source

DEBIAN = (Source("http://m.example/debian", ("bookworm",), ("main",)),)


def test_the_key_changes_with_mirrors_and_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rootfs.key(DEBIAN)
    assert rootfs.key(DEBIAN) == before
    assert rootfs.key((*DEBIAN, Source("http://n.example", ("bookworm",), ("main",)))) != before
    monkeypatch.setattr(rootfs, "RECIPE", rootfs.RECIPE + 1)
    assert rootfs.key(DEBIAN) != before


def test_a_complete_one_is_used_without_asking_anything(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "of_this_machine", lambda: DEBIAN)
    rootfs.path_of(home, rootfs.key(DEBIAN)).mkdir(parents=True)
    assert rootfs.ensure(home, Silent()) == rootfs.key(DEBIAN)


def test_a_full_disk_is_said_before_anything_is_written(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "of_this_machine", lambda: DEBIAN)
    monkeypatch.setattr(rootfs, "FREE_BYTES", 1 << 60)
    with pytest.raises(LabNoSpace, match="MiB free"):
        rootfs.ensure(home, Silent())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("W: Could not resolve 'm.example'", "no package mirror answers"),
        ("E: write error: No space left on device", "the disk is full"),
        ("E: something else", "failed"),
    ],
)
def test_the_log_is_named_and_its_meaning_said(tmp_path: Path, line: str, hint: str) -> None:
    log = tmp_path / "x.log"
    log.write_text(f"I: begins\n{line}\n")
    text = rootfs.explain(log)
    assert hint in text
    assert line in text
    assert f"see {log}" in text
