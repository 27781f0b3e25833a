"""Real machines: they boot bare, lose power, come back, and leave nothing behind."""

import json
import subprocess
import time
from pathlib import Path

import pytest

import lab
from inventory.home import Home
from inventory.model import Federation, Node
from lab.errors import NodeNotRunning
from lab.names import folder_of, names_of
from trust.operator_ssh import lent_path


def ssh(home: Home, node: Node, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command over SSH as root, trusting pinned keys only."""
    options = [
        *("-i", str(lent_path(home)), "-o", f"UserKnownHostsFile={home.known_hosts}"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
        *("-o", "GlobalKnownHostsFile=/dev/null", "-F", "none"),
    ]
    return subprocess.run(
        ["ssh", *options, f"root@{node.address}", "--", *argv],
        capture_output=True,
        text=True,
        check=False,
    )


def boot_id(federation: Federation, home: Home, node: Node) -> str:
    """When process 1 of the node began: another value after another boot."""
    argv = ["systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"]
    return lab.run_in(federation, home, node, argv, check=True).stdout


def traces(federation: Federation, home: Home) -> list[str]:
    """What of the lab is on this computer besides its folder."""
    names = names_of(federation, home)
    links = json.loads(subprocess.check_output(["ip", "-json", "link"], text=True))
    ports = {names.bridge, *(names.port(node) for node in federation.nodes)}
    found = [link["ifname"] for link in links if link["ifname"] in ports]
    tables = subprocess.check_output(["nft", "list", "tables"], text=True)
    found += [line for line in tables.splitlines() if line.split()[-1] == names.table]
    found += [
        line for line in Path("/proc/mounts").read_text().splitlines() if str(home.lab) in line
    ]
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                argv = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            found += [argv] if f"--directory={home.lab}" in argv else []
    groups = Path("/sys/fs/cgroup").glob("**/federation-*")
    found += [str(g) for g in groups if g.name in {names.cgroup(n) for n in federation.nodes}]
    return found


def test_nodes_boot_bare_and_answer_ssh_with_pinned_keys(running: Federation, home: Home) -> None:
    for node in running.nodes:
        done = ssh(home, node, "hostname; systemctl is-system-running; ls /opt /etc/federation")
        assert done.stdout.splitlines()[0] == node.name, done.stderr
        assert done.stdout.splitlines()[1] == "running"
        assert "/etc/federation" in done.stderr
    ids = {ssh(home, node, "cat", "/etc/machine-id").stdout for node in running.nodes}
    assert len(ids) == len(running.nodes)


def test_up_again_changes_nothing_and_takes_no_time(running: Federation, home: Home) -> None:
    before = [boot_id(running, home, node) for node in running.nodes]
    begun = time.monotonic()
    assert lab.up(running, home) == ()
    assert time.monotonic() - begun < 10
    assert [boot_id(running, home, node) for node in running.nodes] == before


def test_services_of_one_node_are_not_those_of_another(running: Federation, home: Home) -> None:
    alpha, beta = running.nodes
    argv = ["systemctl", "show", "--property=ControlGroup", "--value", "ssh.service"]
    assert lab.run_in(running, home, alpha, argv).stdout == "/system.slice/ssh.service\n"
    lab.run_in(running, home, alpha, ["systemctl", "stop", "ssh.service"], check=True)
    assert not next(s for s in lab.status(running, home) if s.name == alpha.name).ssh
    assert next(s for s in lab.status(running, home) if s.name == beta.name).ssh
    lab.run_in(running, home, alpha, ["systemctl", "start", "ssh.service"], check=True)


def test_packages_are_fetched_once_by_the_apt_user(running: Federation, home: Home) -> None:
    fetch = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "hello"]
    remove = ["apt-get", "remove", "--yes", "--quiet", "hello"]
    alpha, beta = running.nodes
    for package in (home.cache / "apt").glob("**/hello_*.deb"):
        package.unlink()
    assert "Get:1" in lab.run_in(running, home, alpha, fetch, check=True).stdout
    assert "Get:1" not in lab.run_in(running, home, beta, fetch, check=True).stdout
    for node in running.nodes:
        lab.run_in(running, home, node, remove, check=True)
    owner = lab.run_in(
        running, home, alpha, ["sh", "-c", "stat -c %U /var/cache/lab-apt/nodes/*/partial"]
    )
    assert set(owner.stdout.split()) == {"_apt"}


def test_a_power_cut_ends_everything_and_the_disk_survives(running: Federation, home: Home) -> None:
    node = running.nodes[0]
    lab.run_in(running, home, node, ["touch", "/root/kept"], check=True)
    begun = time.monotonic()
    assert lab.kill(running, home, [node]) == (node.name,)
    assert time.monotonic() - begun < 10
    status = lab.status(running, home, [node])[0]
    assert (status.running, status.ssh, status.made) == (False, False, True)
    with pytest.raises(NodeNotRunning, match="lab boot"):
        lab.run_in(running, home, node, ["true"])
    assert lab.boot(running, home, [node]) == (node.name,)
    assert ssh(home, node, "ls", "/root/kept").returncode == 0


def test_reset_makes_a_bare_node_with_a_new_pinned_key(running: Federation, home: Home) -> None:
    node, other = running.nodes
    lab.run_in(running, home, node, ["touch", "/root/kept"], check=True)
    before = folder_of(home, node).host_key.read_text()
    beside = boot_id(running, home, other)
    lab.reset(running, home, [node])
    assert folder_of(home, node).host_key.read_text() != before
    done = ssh(home, node, "ls", "/root/kept")
    assert "No such file" in done.stderr
    assert boot_id(running, home, other) == beside


def test_commands_inside_keep_streams_and_exit_code(running: Federation, home: Home) -> None:
    node = running.nodes[0]
    script = ["sh", "-c", "cat; echo wrong >&2; pwd; exit 7"]
    done = lab.run_in(running, home, node, script, text_in="right\n")
    assert (done.exit_code, done.stdout, done.stderr) == (7, "right\n/\n", "wrong\n")


def test_the_journal_is_readable_while_off(running: Federation, home: Home) -> None:
    node = running.nodes[0]
    lab.run_in(running, home, node, ["logger", "--tag=labtest", "remember me"])
    lab.run_in(running, home, node, ["journalctl", "--sync"])
    lab.kill(running, home, [node])
    argv = lab.logs(running, home, node, ["--identifier=labtest", "--output=cat"])
    assert "remember me" in subprocess.check_output(argv, text=True)


def test_down_leaves_nothing_and_up_finds_the_disks(running: Federation, home: Home) -> None:
    node = running.nodes[0]
    lab.run_in(running, home, node, ["touch", "/root/kept"], check=True)
    assert traces(running, home)
    begun = time.monotonic()
    lab.down(running, home)
    assert time.monotonic() - begun < 60
    assert traces(running, home) == []
    assert lab.down(running, home) == ()
    lab.up(running, home)
    assert ssh(home, node, "ls", "/root/kept").returncode == 0
