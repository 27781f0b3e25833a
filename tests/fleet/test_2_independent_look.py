"""An independent look: what the machines say about themselves, not what our deploys believe."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from deploys.own_secrets import store_of
from inventory.flows import allowed
from inventory.model import Node, Role
from tests.support.fleet import Fleet, wait_for
from trust.operator_ssh import lent_path

OURS = "federation-*.service"
EXPOSURE_LIMIT = 2.5
ENGINE_EXPOSURE_LIMIT = 4.0


@pytest.fixture(scope="module")
def hosts(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    """A testinfra connection to each node, as the operator, with pinned host keys only."""
    shared = tmp_path_factory.mktemp("ssh")  # one connection a node, for all commands
    options = f"-o UserKnownHostsFile={fleet.home.known_hosts} -o StrictHostKeyChecking=yes"
    user = fleet.federation.operator_user
    yield {
        node.name: testinfra.get_host(
            f"ssh://{user}@{node.address}",
            ssh_identity_file=str(lent_path(fleet.home)),
            ssh_extra_args=options,
            controlpath=str(shared / node.name),
            sudo=True,
        )
        for node in fleet.federation.nodes
    }


def test_ssh_takes_keys_of_the_operator_only(hosts: dict[str, Host]) -> None:
    for name, host in hosts.items():
        settings = host.check_output("sshd -T")
        assert "passwordauthentication no" in settings, name
        assert "kbdinteractiveauthentication no" in settings, name
        assert "permitrootlogin no" in settings, name
        assert not re.search(r"^ciphers .*(cbc|3des|arcfour)", settings, re.MULTILINE), name
        assert host.check_output("passwd -S root").split()[1] == "L", name


def test_hosts_know_each_other_by_name(fleet: Fleet, hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        for node in fleet.federation.nodes:
            answer = host.check_output(f"getent ahostsv4 {fleet.federation.fqdn(node)}")
            assert str(node.address) in answer


def test_the_journal_is_kept_and_bounded(hosts: dict[str, Host]) -> None:
    for name, host in hosts.items():
        assert host.file("/var/log/journal").is_directory, name
        merged = host.check_output("systemd-analyze cat-config systemd/journald.conf")
        assert "Storage=persistent" in merged, name
        assert re.search(r"SystemMaxUse=\d+M", merged), name


def test_security_upgrades_are_on(hosts: dict[str, Host]) -> None:
    for name, host in hosts.items():
        assert host.package("unattended-upgrades").is_installed, name
        assert host.package("chrony").is_installed, name


def our_units(host: Host) -> list[str]:
    """Names of our services on a machine."""
    lines = host.check_output(f"systemctl list-units --all --plain --no-legend '{OURS}'")
    return [line.split()[0] for line in lines.splitlines() if line.strip()]


def test_no_unit_has_failed_and_ours_are_active(hosts: dict[str, Host]) -> None:
    for name, host in hosts.items():
        failed = host.check_output("systemctl list-units --failed --plain --no-legend")
        assert "federation" not in failed, f"{name}: {failed}"
        for unit in our_units(host):
            kind = host.check_output(f"systemctl show -p Type --value {unit}").strip()
            if kind != "oneshot":
                assert host.service(unit).is_running, f"{name}: {unit}"


def test_exposure_of_our_units_is_low(hosts: dict[str, Host]) -> None:
    seen: dict[str, float] = {}
    for name, host in hosts.items():
        for unit in our_units(host):
            last = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -1")
            found = re.search(r"unit: ([0-9.]+)", last) or re.search(r": ([0-9.]+)", last)
            assert found, f"{name}: {unit}: {last}"
            seen[unit] = float(found.group(1))
    assert seen
    too_open = {
        unit: score
        for unit, score in seen.items()
        if score > (ENGINE_EXPOSURE_LIMIT if "inference" in unit else EXPOSURE_LIMIT)
    }
    assert not too_open


def test_ports_are_open_only_as_the_model_says(fleet: Fleet) -> None:
    """From every node to every other, on every port anything of ours may listen on."""
    ports = sorted({22, 80, 443, 111, 8080, *fleet.federation.ports.model_dump().values()})
    wrong: list[str] = []
    for source in fleet.federation.nodes:
        found = connects(fleet, source, ports)
        for target in fleet.federation.nodes:
            if target == source:
                continue
            for port in ports:
                may = allowed(fleet.federation, source.address, target, port)
                did = found[f"{target.address}:{port}"]
                if did == "open" and not may:
                    wrong.append(f"{source.name} reached {target.name}:{port}")
                if did != "open" and may:
                    reached = partial(opens, fleet, source, target, port)
                    wait_for(reached, 60, f"{source.name} reaches {target.name}:{port} ({did})")
    assert not wrong


def opens(fleet: Fleet, source: Node, target: Node, port: int) -> bool:
    """Whether a connection is taken, asked for by itself: many at once may be too many."""
    place = f"{target.address}:{port}"
    asked = json.dumps([place])
    answer = json.loads(fleet.inside(source, "python3", "-c", PROBE, asked))
    return bool(answer[place] == "open")


PROBE = """
import concurrent.futures, json, socket, sys
def probe(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 2).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return type(error).__name__
targets = json.load(sys.stdin) if len(sys.argv) < 2 else json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(json.dumps(dict(zip(targets, pool.map(probe, targets)))))
"""


def connects(fleet: Fleet, source: Node, ports: list[int]) -> dict[str, str]:
    """How a TCP connection from `source` to every other node's `ports` ends."""
    targets = [
        f"{target.address}:{port}"
        for target in fleet.federation.nodes
        if target != source
        for port in ports
    ]
    answer: dict[str, str] = json.loads(
        fleet.inside(source, "python3", "-c", PROBE, json.dumps(targets))
    )
    return answer


def test_nothing_leaves_a_node_but_what_is_allowed(fleet: Fleet) -> None:
    """The operator's computer answers on the bridge, but no node may open a connection to it."""
    node = fleet.one(Role.WORKER)
    outside = str(fleet.federation.network.operator_addresses[0])
    script = f"import socket; socket.create_connection(('{outside}', 9), 3)"
    shown = fleet.shell(node, f'python3 -c "{script}" 2>&1', expect=None)
    assert "timed out" in shown or "not permitted" in shown.lower(), shown


def test_no_secret_can_be_read_or_seen(fleet: Fleet, first_up: dict[str, Any]) -> None:
    """Not by another user, not in logs, the process list or a unit's environment."""
    secret = first_up["key"]
    store = store_of(fleet.home)
    kept = [found.text for name in store.names() if (found := store.find(name))]
    assert len(kept) >= 4, store.names()
    words = [word for text in kept for word in text.split() if len(word) >= 16]
    for node in fleet.federation.nodes:
        readable = fleet.shell(
            node,
            "find /etc/federation /var/lib/federation /run/federation /run/credentials -type f "
            "-perm /0077 \\( -name '*.key' -o -name '*pepper*' \\) 2>/dev/null; true",
        )
        assert not readable.strip(), f"{node.name}: {readable}"
        seen = fleet.shell(
            node,
            "ps axeww -o args; journalctl --no-pager -o cat | tail -c 4000000; "
            "systemctl show -p Environment 'federation-*'",
        )
        for word in [secret, *words]:
            assert word not in seen, node.name
        assert "BEGIN PRIVATE KEY" not in seen, node.name
        assert "BEGIN EC PRIVATE KEY" not in seen, node.name
        as_nobody = fleet.shell(
            node,
            "runuser -u nobody -- sh -c 'cat /etc/federation/credentials/* /run/credentials/*/* "
            "2>/dev/null' | wc -c",
        )
        assert int(as_nobody) == 0, node.name


def test_the_audit_of_secrets_finds_nothing(fleet: Fleet) -> None:
    audit = fleet.json("secrets", "audit")
    assert audit["findings"] == []
    assert set(audit["looked_at"]) == {"operator", *(node.name for node in fleet.federation.nodes)}
    listed = fleet.json("secrets", "list")
    made = {each["name"]: each["kept"] for each in listed if "node" not in each}
    assert made.pop("identity").startswith("file ")
    # Nobody has kept a key for fedctl chat here, and the lab names no webhook.
    assert {made.pop(name) for name in ("chat-key", "webhook-secret")} == {"not made yet"}
    assert set(made.values()) == {"encrypted"}, made
    on_nodes = {(each["name"], each["node"], each["kept"]) for each in listed if "node" in each}
    everywhere, data = fleet.federation.nodes, fleet.federation.with_role(Role.DATA)
    assert on_nodes == {
        *(("witness-key", node.name, f"sealed on {node.name}") for node in everywhere),
        *(("sequencer-signing", node.name, f"sealed on {node.name}") for node in data),
    }


def test_certificates_are_short_lived_and_tls_is_1_3_only(
    fleet: Fleet, hosts: dict[str, Host]
) -> None:
    for node in fleet.federation.nodes:
        host = hosts[node.name]
        dates = host.check_output("openssl x509 -noout -dates -in /etc/federation/tls/node.pem")
        assert "notAfter" in dates
        check = "openssl x509 -noout -checkend 2678400 -in /etc/federation/tls/node.pem"
        assert host.run(check).rc == 1, f"{node.name}: valid for more than 31 days"
    gateway = fleet.one(Role.GATEWAY)
    offer = (
        f"openssl s_client -connect {gateway.address}:{fleet.federation.ports.gateway} "
        "-tls1_2 </dev/null 2>&1"
    )
    assert "Cipher is (NONE)" in fleet.shell(gateway, offer, expect=None)
