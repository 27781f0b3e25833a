"""What a fresh node's disk says, and what it does not."""

from inventory.home import Home
from inventory.model import Federation
from lab.archives import apt_settings, share_script
from lab.contents import Inputs, files
from lab.machine import command_line
from lab.names import folder_of, names_of

GIVEN = Inputs(
    operator_key="ssh-ed25519 OPERATOR",
    host_key="PRIVATE\n",
    host_key_public="ssh-ed25519 HOST",
    machine_id="0" * 32,
    sources="Types: deb\n",
    apt_settings='Acquire::Check-Date "false";\n',
    archives=apt_settings("abcd-alpha"),
)


def test_a_node_knows_its_own_address_and_the_way_out(federation: Federation) -> None:
    found = files(federation, federation.node("alpha"), GIVEN)
    network = found["etc/systemd/network/10-lab.network"][1]
    assert "Address=10.87.44.11/24\nGateway=10.87.44.1\n" in network
    assert found["etc/hostname"][1] == "alpha\n"
    assert found["etc/resolv.conf"][1] == "nameserver 192.0.2.53\n"


def test_secrets_are_readable_by_root_only(federation: Federation) -> None:
    found = files(federation, federation.node("alpha"), GIVEN)
    assert found["etc/ssh/ssh_host_ed25519_key"] == (0o600, "PRIVATE\n")
    assert found["root/.ssh/authorized_keys"] == (0o600, "ssh-ed25519 OPERATOR\n")
    readable = [name for name, (mode, _) in found.items() if "PRIVATE" in _ and mode & 0o077]
    assert readable == []


def test_only_another_ssh_port_needs_a_word(federation: Federation) -> None:
    port = "etc/ssh/sshd_config.d/10-lab.conf"
    assert port not in files(federation, federation.node("alpha"), GIVEN)
    assert files(federation, federation.nodes[2], GIVEN)[port] == (0o644, "Port 2222\n")


def test_each_node_fetches_packages_into_a_folder_of_its_own() -> None:
    assert '"/var/cache/lab-apt/nodes/abcd-alpha"' in GIVEN.archives
    assert share_script().rstrip().endswith("exit 0")


def test_a_machine_is_recognisable_by_its_command_line(federation: Federation, home: Home) -> None:
    node = federation.node("alpha")
    folder = folder_of(home, node)
    argv = command_line(names_of(federation, home), node, folder, home.cache / "apt")
    assert argv[0] == "systemd-nspawn"
    assert f"--directory={folder.mount}" in argv
    assert "--register=no" in argv
