"""What a lab finds after a crash, and what it refuses to touch."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import lab
from inventory.home import Home
from inventory.model import Federation
from inventory.progress import Silent
from lab import machine, mounts, network, rootfs
from lab.errors import LabBusy, LabNoSpace, NotOurs, RootfsFailed
from lab.lock import held
from lab.names import folder_of, names_of
from lab.process import machine_processes, parent_of

UP = """
import sys
from pathlib import Path
import lab
from inventory.home import Home
from inventory.model import Federation
federation = Federation.model_validate_json(sys.argv[1])
lab.up(federation, Home(root=Path(sys.argv[2]), cache=Path(sys.argv[3])))
"""


@contextlib.contextmanager
def up_in_background(federation: Federation, home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """`lab.up` in a process of its own, which the test may kill."""
    argv = [sys.executable, "-c", UP, federation.model_dump_json(), str(home.root), str(home.cache)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 200) -> None:
    """Poll until it holds; fails the test when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def first_started(federation: Federation, home: Home) -> bool:
    """Whether some machine process exists."""
    return any(machine.running(home, node) for node in federation.nodes)


def first_mounted(federation: Federation, home: Home) -> bool:
    """Whether some node's disk is mounted."""
    return any(mounts.mounted(folder_of(home, node).mount) for node in federation.nodes)


def bridge_there(federation: Federation, home: Home) -> bool:
    """Whether the bridge exists."""
    return network.present(federation, home)


@pytest.mark.parametrize("moment", [bridge_there, first_mounted, first_started])
def test_up_killed_at_any_moment_is_finished_by_the_next(
    federation: Federation, home: Home, moment: Callable[[Federation, Home], bool]
) -> None:
    lab.clean(federation, home)
    with up_in_background(federation, home) as process:
        wait_for(lambda: moment(federation, home) or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
    lab.up(federation, home)
    assert all(status.ssh and status.booted for status in lab.status(federation, home))
    for node in federation.nodes:
        found = machine_processes(folder_of(home, node).mount)
        assert [parent_of(p.pid) in {p.pid for p in found} for p in found].count(False) == 1


def test_a_root_file_system_being_made_dies_with_its_maker(
    federation: Federation, tmp_path: Path
) -> None:
    home = Home(root=tmp_path / "home", cache=tmp_path / "cache")
    making = home.cache / "rootfs"
    try:
        with up_in_background(federation, home) as process:
            wait_for(lambda: any(making.glob(".making-*/etc")))
            process.send_signal(signal.SIGKILL)
        wait_for(lambda: not _mentioned(str(making)))
        assert str(making) not in Path("/proc/mounts").read_text()
        rootfs._discard_half_made(making)
        assert not list(making.glob(".making-*"))
    finally:
        lab.clean(federation, home)


def _mentioned(text: str) -> bool:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                argv = (folder / "cmdline").read_bytes().decode(errors="replace")
                if text in argv and "mmdebstrap" in argv:
                    return True
    return False


def test_two_ups_at_once_name_each_other(federation: Federation, home: Home) -> None:
    with held(home.lab / "lock", "lab up"), pytest.raises(LabBusy, match=f"{os.getpid()}: lab up"):
        lab.up(federation, home)


def test_a_foreign_bridge_with_our_name_is_refused_and_kept(
    federation: Federation, home: Home
) -> None:
    lab.down(federation, home)
    bridge = names_of(federation, home).bridge
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    try:
        with pytest.raises(NotOurs, match=bridge):
            lab.up(federation, home)
        lab.down(federation, home)
        assert Path(f"/sys/class/net/{bridge}").exists()
    finally:
        subprocess.run(["ip", "link", "delete", bridge], check=True)


def test_a_foreign_table_with_our_name_is_refused_and_kept(
    federation: Federation, home: Home
) -> None:
    lab.down(federation, home)
    table = names_of(federation, home).table
    subprocess.run(["nft", "add", "table", "inet", table], check=True)
    try:
        with pytest.raises(NotOurs, match=table):
            lab.up(federation, home)
        lab.down(federation, home)
        tables = subprocess.check_output(["nft", "list", "tables"], text=True)
        assert f"table inet {table}\n" in tables
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


def test_addresses_in_use_by_others_are_refused(federation: Federation, home: Home) -> None:
    lab.down(federation, home)
    subprocess.run(["ip", "link", "add", "labtest-dummy", "type", "bridge"], check=True)
    try:
        argv = ["ip", "address", "add", "10.87.44.200/25", "dev", "labtest-dummy"]
        subprocess.run(argv, check=True)
        with pytest.raises(NotOurs, match="labtest-dummy"):
            lab.up(federation, home)
    finally:
        subprocess.run(["ip", "link", "delete", "labtest-dummy"], check=True)


def test_a_lab_of_the_same_name_in_another_home_is_refused(running: Federation, home: Home) -> None:
    other = replace(home, root=home.root.with_name("other"))
    with pytest.raises(NotOurs, match="rename the federation"):
        lab.up(running, other)
    lab.down(running, other)
    assert all(status.ssh for status in lab.status(running, home))


def test_a_full_disk_is_an_error_with_a_remedy(federation: Federation, home: Home) -> None:
    full = home.root.with_name("full")
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(full)], check=True)
    try:
        with pytest.raises(LabNoSpace, match="FEDERATION_HOME"):
            lab.up(federation, replace(home, root=full))
        with pytest.raises(LabNoSpace, match="FEDERATION_CACHE"):
            rootfs.ensure(replace(home, cache=full), Silent())
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_no_mirror_is_an_error_that_names_the_log(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = rootfs.sources.Source("http://127.0.0.1:9/debian", ("bookworm",), ("main",))
    monkeypatch.setattr(rootfs.sources, "of_this_machine", lambda: (dead,))
    with pytest.raises(RootfsFailed, match=r"no package mirror answers(?s:.)*\.log"):
        rootfs.ensure(replace(home, cache=tmp_path), Silent())
    assert not list((tmp_path / "rootfs").glob("[0-9a-f]" * 16))


def test_a_cache_in_use_is_not_discarded(running: Federation, home: Home) -> None:
    with pytest.raises(LabBusy, match="down first"):
        lab.discard_cache(home)
    assert all(status.ssh for status in lab.status(running, home))


def test_a_lost_root_file_system_means_a_node_made_anew(running: Federation, home: Home) -> None:
    node = running.nodes[0]
    lab.down(running, home)
    folder_of(home, node).base.write_text("0123456789abcdef\n")
    lab.up(running, home)
    assert all(status.ssh for status in lab.status(running, home))
