"""The nftables programs: complete, ours by their mark, and accepted by nft itself."""

import json
import os
import shutil
import subprocess

import pytest

from inventory.home import Home
from inventory.model import Federation
from lab.links import rules
from lab.names import names_of
from lab.network import COMMENT, conflicts, nat_rules

NFT = shutil.which("nft", path="/usr/sbin:/usr/bin")


def test_nat_covers_the_subnet_and_nothing_inside_it(federation: Federation, home: Home) -> None:
    text = nat_rules(names_of(federation, home), federation.network.subnet)
    assert "ip saddr 10.87.44.0/24 ip daddr != 10.87.44.0/24 masquerade" in text


def test_a_cut_node_is_dropped_at_its_port_both_ways(federation: Federation, home: Home) -> None:
    names = names_of(federation, home)
    port = names.port(federation.node("alpha"))
    text = rules(names, federation, [("alpha",)])
    assert f'iifname "{port}" drop' in text
    assert f'oifname "{port}" drop' in text
    assert text.count(" drop\n") == 2


def test_a_cut_pair_is_dropped_between_its_ports_only(federation: Federation, home: Home) -> None:
    names = names_of(federation, home)
    alpha, beta = (names.port(federation.node(name)) for name in ("alpha", "beta"))
    text = rules(names, federation, [("alpha", "beta")])
    assert f'iifname "{alpha}" oifname "{beta}" drop' in text
    assert f'iifname "{beta}" oifname "{alpha}" drop' in text
    assert text.count(" drop\n") == 2


@pytest.mark.skipif(NFT is None or os.geteuid() != 0, reason="needs nft and root to check rules")
def test_nft_accepts_both_programs(federation: Federation, home: Home) -> None:
    names = names_of(federation, home)
    for text in (
        nat_rules(names, federation.network.subnet),
        rules(names, federation, [("alpha",), ("alpha", "beta")]),
    ):
        assert NFT is not None
        done = subprocess.run(
            [NFT, "-c", "-f", "-"], input=text, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_mark_is_found_in_a_listing(federation: Federation, home: Home) -> None:
    mark = names_of(federation, home).mark
    match = COMMENT.search(f'table inet x {{\n\tcomment "{mark}"\n\tchain y {{\n\t}}\n}}\n')
    assert match is not None
    assert match[1] == mark


def test_overlapping_addresses_are_found_except_on_our_bridge(federation: Federation) -> None:
    def link(name: str, address: str, length: int) -> dict[str, object]:
        info = {"family": "inet", "local": address, "prefixlen": length}
        return {"ifname": name, "addr_info": [info, {"family": "inet6", "local": "::1"}]}

    links = [
        link("fed-pair", "10.87.44.1", 24),
        link("vpn0", "10.87.0.7", 16),
        link("eth0", "192.0.2.2", 24),
    ]
    assert json.dumps(links)
    found = conflicts(federation.network.subnet, "fed-pair", links)
    assert found == ["vpn0 (10.87.0.7/16)"]
