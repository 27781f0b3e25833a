"""Keys are made once, kept private, and pinned under every name of their node."""

import shutil

import pytest

from inventory.home import Home
from inventory.model import Federation
from lab import identity
from lab.names import folder_of
from trust.operator_ssh import private_text, public_of
from trust.secret_store import SecretStore

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


def test_the_operators_key_is_made_once_and_private(federation: Federation, home: Home) -> None:
    public = identity.ensure_operator_key(federation, home)
    assert public.startswith("ssh-ed25519 ")
    assert not home.ssh_key.exists()
    assert public == f"{public_of(private_text(home))} operator of pair"
    assert home.ssh_public.read_text() == f"{public}\n"
    assert identity.ensure_operator_key(federation, home) == public


def test_half_a_key_pair_is_made_again(federation: Federation, home: Home) -> None:
    before = identity.ensure_operator_key(federation, home)
    home.ssh_public.unlink()
    assert identity.ensure_operator_key(federation, home) == before
    SecretStore.of(home).path("ssh").unlink()
    after = identity.ensure_operator_key(federation, home)
    assert after != before and home.ssh_public.read_text().strip() == after


def test_host_keys_are_pinned_by_every_name(federation: Federation, home: Home) -> None:
    keys = {node.name: identity.ensure_host_key(home, node) for node in federation.nodes}
    identity.pin_host_keys(federation, home)
    lines = home.known_hosts.read_text().splitlines()
    alpha = " ".join(keys["alpha"].split()[:2])
    assert lines[0] == f"alpha,alpha.pair.internal,10.87.44.11 {alpha}"
    assert lines[2].startswith("[a-rather-long-name]:2222,")


def test_pinning_again_replaces_ours_and_keeps_the_rest(federation: Federation, home: Home) -> None:
    node = federation.node("alpha")
    identity.ensure_host_key(home, node)
    identity.pin_host_keys(federation, home)
    with home.known_hosts.open("a") as stream:
        stream.write("elsewhere.example ssh-ed25519 AAAA\n")
    before = home.known_hosts.read_text()
    folder_of(home, node).host_key.unlink()
    identity.ensure_host_key(home, node)
    identity.pin_host_keys(federation, home)
    after = home.known_hosts.read_text()
    assert "elsewhere.example ssh-ed25519 AAAA" in after
    assert after.count("alpha,") == 1
    assert before != after
