"""Tests of deploys/ship.py: what ssh is told, and what a broken copy raises."""

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from deploys import ship as module
from deploys.errors import ConnectionLost, OperationFailed
from deploys.ship import Destination, receive_command, ship, ssh_arguments
from inventory.home import Home
from tests.support.ssh_keys import new_key
from tests.unit.fedctl.ssh_server import Server
from trust.operator_ssh import lent_path

TO = Destination("fedop", "192.0.2.7", 2222, lambda: Path("/k"), Path("/my pins"))


def test_only_the_pinned_host_key_and_our_own_key_count() -> None:
    arguments = ssh_arguments(TO, "true")
    for expected in (
        "-oStrictHostKeyChecking=yes", '-oUserKnownHostsFile="/my pins"', "-oIdentitiesOnly=yes",
        "-oGlobalKnownHostsFile=none", "-oBatchMode=yes", "fedop@192.0.2.7", "2222", "/k",
    ):  # fmt: skip
        assert expected in arguments
    assert arguments[1:3] == ["-F", "none"]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs OpenSSH's client")
def test_ssh_takes_the_key_out_of_memory(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "cache")
    server = Server(new_key(tmp_path / "host"), new_key(home.ssh_key), frozenset({"root"}))
    home.known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.public}\n")
    (tmp_path / "source").write_bytes(b"x" * 1_000_000)
    key = partial(lent_path, home)
    to = Destination("root", "127.0.0.1", server.port, key, home.known_hosts)
    try:
        ship(to, str(tmp_path / "there"), {"a": tmp_path / "source"})
    finally:
        server.close()
    assert (tmp_path / "there" / "a").read_bytes() == b"x" * 1_000_000
    kept = [path for path in home.root.rglob("*") if path.is_file()]
    private = [path for path in kept if b"PRIVATE" in path.read_bytes()]
    assert not private


def test_a_key_that_cannot_be_lent_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "cache")
    to = replace(TO, key=partial(lent_path, home))
    with pytest.raises(OperationFailed, match="there is no SSH key"):
        ship(to, "/nowhere", {})


def test_it_unpacks_as_root_whoever_logs_in() -> None:
    assert receive_command("/a b", "fedop").startswith("sudo -n sh -c ")
    assert receive_command("/a b", "root").startswith("umask 022; mkdir -p '/a b'")


def here(monkeypatch: pytest.MonkeyPatch, *argv: str) -> None:
    """Have a program of this machine stand in for ssh and the node behind it."""
    monkeypatch.setattr(module, "ssh_arguments", lambda _to, command: [*argv, command])


def test_files_arrive_whole_in_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch, "sh", "-c")
    monkeypatch.setattr(
        module, "receive_command", lambda folder, _user: receive_command(folder, "root")
    )
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    link = tmp_path / "link"
    link.symlink_to(source)
    ship(TO, str(tmp_path / "there"), {"a.whl": source, "sub/b.whl": link})
    assert (tmp_path / "there" / "a.whl").read_bytes() == source.read_bytes()
    assert (tmp_path / "there" / "sub" / "b.whl").read_bytes() == source.read_bytes()
    assert not (tmp_path / "there" / "sub" / "b.whl").is_symlink()


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        (
            "import sys; sys.stderr.write('Connection refused'); sys.exit(255)",
            ConnectionLost,
            "refused",
        ),
        ("import sys; sys.stderr.write('No space left'); sys.exit(2)", OperationFailed, "No space"),
    ],
)
def test_what_went_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], text: str
) -> None:
    here(monkeypatch, sys.executable, "-c", script)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1_000_000)
    with pytest.raises(error, match=text):
        ship(TO, "/nowhere", {"a": source})


def test_a_copy_that_stalls_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, sys.executable, "-c", "import sys,time; sys.stdin.read(); time.sleep(60)")
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    source = tmp_path / "source"
    source.touch()
    with pytest.raises(ConnectionLost, match="halt"):
        ship(TO, "/nowhere", {"a": source})


def test_a_node_that_stops_reading_does_not_hold_us_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch, sys.executable, "-c", "import time; time.sleep(60)")
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    source = tmp_path / "source"
    source.write_bytes(bytes(500_000))
    begun = time.monotonic()
    with pytest.raises(ConnectionLost, match="halt"):
        ship(TO, "/nowhere", {"a": source})
    assert time.monotonic() - begun < 50


def test_the_stand_in_needs_tar() -> None:
    assert subprocess.run(["tar", "--version"], capture_output=True, check=False).returncode == 0
