"""roles/base.py against a simulated node: from bare to hardened, and then nothing."""

from pathlib import Path

import pytest

from deploys.roles.base import CHRONY, PACKAGES, SSHD, SYSCTL, base, chrony
from inventory.model import Node
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan


class Machine:
    """What machine_state looks at."""

    def __init__(self) -> None:
        self.hostname = "localhost"
        # A container may set network keys only.
        self.sysctl = {key: "7" for key in SYSCTL if key.startswith("net.")}
        self.locked: list[str] = []
        self.stale = ["systemd-journald.service"]

    def state(self, argument: dict[str, list[str]]) -> object:
        known = {key: self.sysctl[key] for key in argument["sysctl"] if key in self.sysctl}
        return {
            "hostname": self.hostname,
            "sysctl": known,
            "locked": self.locked,
            "stale": self.stale,
        }

    def apply(self, argument: dict[str, object]) -> None:
        self.hostname = str(argument["hostname"] or self.hostname)
        self.sysctl.update(argument["sysctl"])  # type: ignore[call-overload]
        self.locked += argument["lock"]  # type: ignore[operator]
        self.stale = []


def bare() -> SimulatedNode:
    machine = Machine()
    node = SimulatedNode(scripts={"machine_state": machine.state, "machine_apply": machine.apply})
    node.has_unit("ssh.service")
    return node


def test_a_bare_node_becomes_ours_and_stays_so(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    done = apply(base, given, node)
    for package in PACKAGES:
        assert f"install {package}" in done
    assert "set host name" in done
    assert "lock the password of root" in done
    assert "restart systemd-journald.service" in done
    assert "check: sshd -t" in done
    assert apply(base, given, node) == []


def test_a_plan_shows_what_is_pending_and_changes_nothing(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    before = dict(node.paths)
    pending = plan(base, given, node)
    subjects = {change.subject for changes in pending.values() for change in changes}
    assert {"/etc/hosts", SSHD, "chrony", "net.ipv4.tcp_syncookies"} <= subjects
    assert node.paths == before


def test_every_node_is_in_hosts_by_both_names(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    apply(base, given, node)
    hosts = node.text("/etc/hosts")
    for other in given.federation.nodes:
        assert f"{other.address} {given.federation.fqdn(other)} {other.name}\n" in hosts
    assert "127.0.1.1" not in hosts


def test_ssh_takes_the_operators_key_and_nothing_else(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    apply(base, given, node)
    lines = node.text(SSHD).splitlines()
    for line in (
        f"AllowUsers {given.federation.operator_user}",
        "PermitRootLogin no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "DisableForwarding yes",
        "MaxAuthTries 3",
        "HostKey /etc/ssh/ssh_host_ed25519_key",
    ):
        assert line in lines
    assert "cbc" not in node.text(SSHD)
    assert "sha1" not in node.text(SSHD)


def test_a_host_key_pinned_as_ecdsa_is_the_one_offered(tmp_path: Path) -> None:
    given = context(tmp_path)
    key = "ecdsa-sha2-nistp256 " + "A" * 60
    node: Node = given.node.model_copy(
        update={"ssh": given.node.ssh.model_copy(update={"host_key": key})}
    )
    simulated = bare()
    apply(base, type(given)(**{**given.__dict__, "node": node}), simulated)
    assert "HostKey /etc/ssh/ssh_host_ecdsa_key\n" in simulated.text(SSHD)
    assert "HostKeyAlgorithms ecdsa-sha2-nistp256\n" in simulated.text(SSHD)


def test_a_site_runs_chrony_a_lab_only_enables_it(tmp_path: Path) -> None:
    lab, site = bare(), bare()
    apply(base, context(tmp_path), lab)
    apply(base, context(tmp_path, file="federation.toml"), site)
    assert lab.units["chrony.service"]["active"] == "inactive"
    assert lab.units["chrony.service"]["file"] == "enabled"
    assert site.units["chrony.service"]["active"] == "active"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (("time.example",), "pool time.example iburst\n"),
        (("192.0.2.1",), "server 192.0.2.1 iburst\n"),
        (("192.0.2.1", "time.example"), "pool time.example iburst\nserver 192.0.2.1 iburst\n"),
    ],
)
def test_an_address_is_a_server_and_a_name_is_a_pool(
    servers: tuple[str, ...], expected: str
) -> None:
    assert expected in chrony(servers)


def test_what_a_person_changed_is_put_back(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    apply(base, given, node)
    node.has_file("/etc/hosts", "127.0.0.1 localhost\n")
    node.units["chrony.service"]["file"] = "disabled"
    assert apply(base, given, node) == ["update /etc/hosts", "enable chrony.service"]


def test_the_journal_keeps_to_the_nodes_limit(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    apply(base, given, node)
    text = node.text("/etc/systemd/journald.conf.d/federation.conf")
    assert f"SystemMaxUse={given.node.limits.journal_max_mib}M\n" in text
    assert "Storage=persistent\n" in text


def test_only_the_security_archive_upgrades_by_itself(tmp_path: Path) -> None:
    node, given = bare(), context(tmp_path)
    apply(base, given, node)
    text = node.text("/etc/apt/apt.conf.d/52federation")
    assert text.count("origin=") == 1
    assert "label=Debian-Security" in text
    assert 'Automatic-Reboot "false"' in text
    assert CHRONY in node.paths
