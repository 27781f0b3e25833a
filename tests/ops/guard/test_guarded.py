"""`guarded`: what it sends, when it asks for a confirmation, and the undo script people read."""

import base64
import grp
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.context import NodeContext
from deploys.operations.files import ManagedFile
from deploys.operations.guard import guarded
from deploys.remote import guard_apply, guard_confirm
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan

PATH = "/etc/nftables.conf"
MARKER = "/var/lib/federation/guard/firewall/undo.sh"


def deploy(_: NodeContext) -> None:
    file = ManagedFile(PATH, "new rules\n")
    guarded(name="Rules", guard="firewall", files=[file], check="nft -c", apply="nft -f")


def test_it_changes_once_and_then_nothing(tmp_path: Path) -> None:
    node, where = SimulatedNode(), context(tmp_path)
    assert apply(deploy, where, node) == [f"create {PATH}", "check: nft -c", "apply: nft -f"]
    assert apply(deploy, where, node) == []


def test_a_change_nobody_confirmed_is_armed_again(tmp_path: Path) -> None:
    node, where = SimulatedNode(), context(tmp_path)
    apply(deploy, where, node)
    node.has_file(MARKER, "#!/bin/sh\n", mode=0o700)
    [change] = plan(deploy, where, node)["Rules"]
    assert str(change) == "confirm the change firewall"
    assert apply(deploy, where, node)[0] == "confirm the change firewall"


@pytest.fixture
def guard_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "guard" / "test"
    folder.mkdir(parents=True)
    return folder


def undo(tmp_path: Path, folder: Path, paths: list[Path], command: str) -> subprocess.Popen[bytes]:
    """Compose the undo script for `paths`, change them, and run it."""
    files = [{"path": str(path)} for path in paths]
    text = guard_apply.undo_script("test", str(folder), {"files": files, "undo": command})
    (folder / "undo.sh").write_text(text)
    for path in paths:
        path.write_text("changed")
    return subprocess.Popen(["sh", str(folder / "undo.sh")], env=quiet(tmp_path))


def quiet(tmp_path: Path) -> dict[str, str]:
    """An environment where systemctl does nothing: the machine running tests has its own."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("systemctl", "systemd-run"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    return {"PATH": f"{tools}:{os.environ['PATH']}"}


def test_the_undo_script_restores_contents_modes_and_absence(
    tmp_path: Path, guard_folder: Path
) -> None:
    old, new = tmp_path / "it's old", tmp_path / "new"
    old.write_text("old")
    old.chmod(0o640)
    ran = tmp_path / "ran"
    assert undo(tmp_path, guard_folder, [old, new], f"touch {ran}").wait() == 0
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("old", 0o640)
    assert not new.exists()
    assert ran.exists()
    assert (guard_folder / "undone").read_text() == "0\n"
    assert not (guard_folder / "undo.sh").exists()


def test_the_undo_does_nothing_after_a_confirmation(tmp_path: Path, guard_folder: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    (guard_folder / "decided").symlink_to("keep")
    assert undo(tmp_path, guard_folder, [old], "false").wait() == 0
    assert old.read_text() == "changed"


def test_an_undo_that_was_cut_short_is_done_again(tmp_path: Path, guard_folder: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    (guard_folder / "decided").symlink_to("undo")
    assert undo(tmp_path, guard_folder, [old], "true").wait() == 0
    assert old.read_text() == "old"


def test_an_undo_that_could_not_restore_a_file_says_so_and_stays(
    tmp_path: Path, guard_folder: Path
) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    text = guard_apply.undo_script("test", str(guard_folder), {"files": [{"path": str(old)}],
                                                               "undo": "true"})  # fmt: skip
    (guard_folder / "undo.sh").write_text(text)
    (guard_folder / "old" / "0").unlink()
    script = ["sh", str(guard_folder / "undo.sh")]
    assert subprocess.run(script, env=quiet(tmp_path), check=False).returncode == 1
    assert (guard_folder / "undone").read_text() == "1\n"
    assert (guard_folder / "undo.sh").exists()


def test_a_confirmation_that_was_cut_short_is_completed(
    tmp_path: Path, guard_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_confirm, "FOLDER", str(guard_folder.parent))
    monkeypatch.setattr(guard_confirm, "UNITS", str(tmp_path))
    monkeypatch.setenv("PATH", quiet(tmp_path)["PATH"])
    (guard_folder / "applied").touch()
    (guard_folder / "undo.sh").touch()
    (guard_folder / "decided").symlink_to("keep")
    answer = guard_confirm.main({"name": "test", "wait_seconds": 0})
    assert answer == {"state": "confirmed"}
    assert not guard_folder.exists()
    assert guard_confirm.main({"name": "test", "wait_seconds": 0}) == {"state": "none"}


def test_a_new_change_follows_one_that_was_kept_but_not_tidied_up(
    tmp_path: Path, guard_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules"
    path.write_text("kept")
    (guard_folder / "undo.sh").write_text("exit 1")
    (guard_folder / "decided").symlink_to("keep")
    apply_there(monkeypatch, tmp_path, guard_folder, path)
    assert path.read_text() == "new"
    assert (guard_folder / "applied").exists()
    assert not (guard_folder / "decided").is_symlink()
    assert (guard_folder / "old" / "0").read_text() == "kept"


def test_a_refused_change_says_whether_the_old_state_is_back(
    tmp_path: Path, guard_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules"
    path.write_text("old")
    with pytest.raises(SystemExit, match="refused, the old state is back: false"):
        apply_there(monkeypatch, tmp_path, guard_folder, path, check="false")
    assert path.read_text() == "old"
    undo = "echo it is broken; false"
    with pytest.raises(SystemExit, match="could not be put back"):
        apply_there(monkeypatch, tmp_path, guard_folder, path, check="false", undo=undo)


def apply_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, path: Path, **more: str
) -> None:
    """Run `guard_apply` on a file of ours, with units and systemctl that are nobody's."""
    monkeypatch.setattr(guard_apply, "FOLDER", str(folder.parent))
    monkeypatch.setattr(guard_apply, "UNITS", str(tmp_path / "units"))
    (tmp_path / "units").mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", quiet(tmp_path)["PATH"])
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    content = base64.b64encode(b"new").decode()
    file = {"path": str(path), "mode": 0o644, "owner": user, "group": group, "content": content}
    commands = {"check": "true", "apply": "true", "undo": "true", **more}
    guard_apply.main({"name": "test", "files": [file], "seconds": 45, **commands})


def test_every_file_travels_so_that_the_undo_knows_it(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    node = SimulatedNode()
    node.has_file(PATH, "old rules\n")
    node.scripts["guard_apply"] = seen.append
    apply(deploy, context(tmp_path), node)
    [file] = seen[0]["files"]
    assert base64.b64decode(file["content"]) == b"new rules\n"
    assert seen[0]["seconds"] == 45
    assert seen[0]["undo"] == "nft -f"
