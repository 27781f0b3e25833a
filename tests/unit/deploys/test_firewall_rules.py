"""deploys/firewall_rules.py: closed both ways but for the flows, and accepted by the real nft."""

import re
import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.firewall_rules import minimal, rules, variable
from inventory.flows import inbound, outbound
from inventory.load import HERE, load
from inventory.model import Federation, Node, Role

LAB = load(HERE / "lab.toml")
SITE = load(HERE / "federation.toml")
EVERY = [(federation, node) for federation in (LAB, SITE) for node in federation.nodes]
IDS = [f"{federation.name}-{node.name}" for federation, node in EVERY]
every_node = pytest.mark.parametrize(("federation", "node"), EVERY, ids=IDS)


def chain(text: str, name: str) -> list[str]:
    found = re.search(rf"    chain {name} \{{\n(.*?)\n    \}}\n", text, re.DOTALL)
    assert found, text
    return [line.strip() for line in found.group(1).splitlines() if line.strip()]


@every_node
def test_every_chain_drops_by_default(federation: Federation, node: Node) -> None:
    text = rules(federation, node)
    for name in ("input", "output", "forward"):
        assert chain(text, name)[0].endswith("policy drop;")
    assert chain(text, "forward") == ["type filter hook forward priority filter; policy drop;"]


@every_node
def test_each_flow_is_one_rule_that_says_why(federation: Federation, node: Node) -> None:
    text = rules(federation, node)
    for name, flows in (
        ("input", inbound(federation, node)),
        ("output", outbound(federation, node)),
    ):
        ports = [f"tcp dport {flow.port} accept" for flow in flows]
        lines = [line for line in chain(text, name) if re.search(r"tcp dport \d", line)]
        names = [line for line in lines if "dport 53" in line]
        assert len(lines) - len(names) == len(flows)
        for flow, port in zip(flows, ports, strict=True):
            assert any(port in line and f'"{flow.purpose}"' in line for line in lines)


@every_node
def test_answers_are_let_through_before_anything_can_hang(
    federation: Federation, node: Node
) -> None:
    text = rules(federation, node)
    for name in ("input", "output"):
        assert any(
            line.startswith("ct state established,related accept") for line in chain(text, name)
        )


@every_node
def test_only_apt_fetches_and_only_chrony_asks_the_time(federation: Federation, node: Node) -> None:
    lines = chain(rules(federation, node), "output")
    assert [x for x in lines if "443" in x and "8443" not in x] == [
        'meta skuid "_apt" tcp dport { 80, 443 } accept comment "packages, fetched by apt alone"'
    ]
    assert [x for x in lines if "123" in x] == [
        'meta skuid "_chrony" udp dport 123 accept comment "time"'
    ]


@every_node
def test_only_our_own_table_is_touched(federation: Federation, node: Node) -> None:
    text = rules(federation, node)
    assert "flush ruleset" not in text
    assert set(re.findall(r"^(?:delete )?table (.*?)(?: \{.*)?$", text, re.MULTILINE)) == {
        "inet federation"
    }


@every_node
def test_the_real_nft_accepts_it_twice(federation: Federation, node: Node, tmp_path: Path) -> None:
    if not shutil.which("nft") or not shutil.which("unshare"):
        pytest.skip("nft is not installed")
    file = tmp_path / "rules.nft"
    # The user of a package that this computer may not have.
    file.write_text(rules(federation, node).replace('"_chrony"', '"nobody"'))
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"nft -f {file} && nft -f {file}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr:
        pytest.skip("network namespaces need root")
    assert done.returncode == 0, done.stderr


def test_a_worker_accepts_the_operators_ssh_metrics_and_news_to_witness() -> None:
    lines = chain(rules(LAB, LAB.with_role(Role.WORKER)[0]), "input")
    ports = {int(found) for line in lines for found in re.findall(r"tcp dport (\d+)", line)}
    named = LAB.ports
    assert ports == {22, named.node_exporter, named.federation_exporter, named.witness}


def test_without_name_servers_there_is_no_rule_for_them() -> None:
    network = LAB.network.model_copy(update={"dns_servers": ()})
    text = rules(LAB.model_copy(update={"network": network}), LAB.nodes[0])
    assert "dns_servers" not in text
    assert "dport 53" not in text


def test_node_names_become_variables() -> None:
    names = [variable(node) for node in SITE.nodes]
    assert all(re.fullmatch(r"node_[a-z0-9_]+", name) for name in names)
    assert len(set(names)) == len(names)


ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
NETWORKS = st.builds(
    lambda address, bits: IPv4Network((address, bits), strict=False), ADDRESSES, st.integers(0, 32)
)


@given(st.lists(ADDRESSES | NETWORKS, max_size=8))
def test_minimal_keeps_the_meaning_and_never_overlaps(
    ends: list[IPv4Address | IPv4Network],
) -> None:
    kept = [IPv4Network(end) for end in minimal(ends)]
    for number, one in enumerate(kept):
        assert not any(one.overlaps(other) for other in kept[number + 1 :])
    for end in ends:
        network = IPv4Network(end)
        assert any(network.subnet_of(one) for one in kept)
    assert sum(one.num_addresses for one in kept) <= sum(IPv4Network(e).num_addresses for e in ends)
