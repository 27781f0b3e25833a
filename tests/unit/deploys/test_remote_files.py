"""The scripts that look at and write files, run for real in a folder of the test's own."""

import base64
import errno
import grp
import hashlib
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from deploys.remote import files_state, files_write

ME = pwd.getpwuid(os.geteuid()).pw_name
MINE = grp.getgrgid(os.getegid()).gr_name


def item(path: Path, content: str = "", mode: int = 0o644) -> dict[str, Any]:
    data = base64.b64encode(content.encode()).decode()
    return {"path": str(path), "mode": mode, "owner": ME, "group": MINE, "content": data}


def test_a_file_is_written_with_its_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert files_write.main({"files": [item(path, "new", 0o600)]}) == 1
    assert path.read_text() == "new"
    [state] = files_state.main({"paths": [str(path)]}).values()
    assert (state["mode"], state["owner"], state["group"]) == (0o600, ME, MINE)
    assert state["sha256"] == hashlib.sha256(b"new").hexdigest()
    assert "content" not in state


def test_old_content_comes_back_only_for_a_file_that_differs_and_is_no_secret(
    tmp_path: Path,
) -> None:
    for name in ("open", "secret", "same"):
        (tmp_path / name).write_text("old")
    paths = {name: str(tmp_path / name) for name in ("open", "secret", "same")}
    wanted = dict.fromkeys(paths.values(), "0" * 64)
    wanted[paths["same"]] = hashlib.sha256(b"old").hexdigest()
    found = files_state.main(
        {"paths": list(paths.values()), "wanted": wanted, "secret": [paths["secret"]]}
    )
    assert base64.b64decode(found[paths["open"]]["content"]) == b"old"
    assert "content" not in found[paths["secret"]]
    assert "content" not in found[paths["same"]]


def test_a_full_disk_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files_write.main({"files": [item(path, "new")]})
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_link_in_a_file_place_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.write_text("precious")
    path.symlink_to(victim)
    files_write.main({"files": [item(path, "new")]})
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_directories_links_and_removals(tmp_path: Path) -> None:
    folder, link, old = tmp_path / "d" / "e", tmp_path / "l", tmp_path / "old"
    old.mkdir()
    (old / "inside").write_text("x")
    link.symlink_to("elsewhere")
    files_write.main(
        {
            "directories": [item(tmp_path / "d", mode=0o755), item(folder, mode=0o700)],
            "links": [{"path": str(link), "target": "d"}],
            "absent": [str(old), str(tmp_path / "never-there")],
        }
    )
    states = files_state.main({"paths": [str(folder), str(link), str(old)]})
    assert states[str(folder)]["mode"] == 0o700
    assert states[str(link)] | {"target": "d"} == states[str(link)]
    assert states[str(old)] == {"kind": "absent"}


def test_an_unknown_owner_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nobody-called-this"):
        files_write.main({"files": [{**item(tmp_path / "a"), "owner": "nobody-called-this"}]})
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(SystemExit, match="is a directory"):
        files_write.main({"files": [item(tmp_path / "a")]})
