"""The key decay's role against a simulated node: settings the daemon accepts, a timer that runs."""

import tomllib
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from daemons.key_decay.settings import KeyDecaySettings
from deploys.firewall_rules import rules
from deploys.own_secrets import WEBHOOK_SECRET, rotate_webhook, store_of
from deploys.roles.key_decay import CONFIG_FILE, NAME, SEALED_WEBHOOK, key_decay
from inventory.model import Role
from inventory.sections import Keys
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_secrets, with_users
from trust.webhooks import parse

WEBHOOK = Keys(
    webhook_url="https://hooks.example:8444/keys", webhook_address=IPv4Address("203.0.113.9")
)


def test_a_bare_node_gets_a_timer_and_then_nothing(tmp_path: Path) -> None:
    where, node = context(tmp_path, role=Role.DATA), with_users(SimulatedNode())
    assert apply(key_decay, where, node) == [
        f"create {CONFIG_FILE}",
        f"create /etc/systemd/system/{NAME}.service",
        f"create /etc/systemd/system/{NAME}.timer",
        "create /etc/sysusers.d/federation-key-decay.conf",
        "create user fedkeys",
        f"enable {NAME}.timer",
        f"start {NAME}.timer",
    ]
    assert apply(key_decay, where, node) == []
    assert plan(key_decay, where, node) == {}


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_the_daemon_accepts_its_settings(tmp_path: Path, file: str) -> None:
    where = context(tmp_path, role=Role.DATA, file=file)
    node = with_users(SimulatedNode())
    apply(key_decay, where, node)
    read = KeyDecaySettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    data = where.federation.with_role(Role.DATA)
    assert read.node == where.node.name
    assert read.hosts == tuple(where.federation.fqdn(each) for each in data)
    assert read.addresses == tuple(str(each.address) for each in data)
    assert read.webhook_url is None


def test_a_webhook_of_the_inventory_is_told_and_let_out(tmp_path: Path) -> None:
    keys = WEBHOOK
    where = context(tmp_path, role=Role.DATA)
    told = replace(where, federation=where.federation.model_copy(update={"keys": keys}))
    node = with_secrets(with_users(SimulatedNode()), {})
    assert f"create {SEALED_WEBHOOK}" in apply(key_decay, told, node)
    assert apply(key_decay, told, node) == []
    assert plan(key_decay, told, node) == {}
    read = KeyDecaySettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    assert (read.webhook_url, str(read.webhook_address)) == (keys.webhook_url, "203.0.113.9")
    unit = node.text(f"/etc/systemd/system/{NAME}.service")
    assert f"\nLoadCredentialEncrypted=webhook-secret:{SEALED_WEBHOOK}\n" in unit
    assert len(parse(store_of(told.home).opened(WEBHOOK_SECRET).text)) == 1
    opening = "ip daddr 203.0.113.9 tcp dport 8444 accept"
    assert opening in rules(told.federation, told.node)
    assert opening not in rules(where.federation, where.node)
    for other in told.federation.nodes:
        assert (opening in rules(told.federation, other)) == other.has(Role.DATA)


def test_a_rotated_secret_is_given_to_the_node_and_the_timer_needs_no_restart(
    tmp_path: Path,
) -> None:
    where = context(tmp_path, role=Role.DATA)
    told = replace(where, federation=where.federation.model_copy(update={"keys": WEBHOOK}))
    node = with_secrets(with_users(SimulatedNode()), {})
    apply(key_decay, told, node)
    rotate_webhook(told.home)
    assert apply(key_decay, told, node) == [f"replace {SEALED_WEBHOOK}"]
    assert apply(key_decay, told, node) == []


def test_without_a_webhook_there_is_no_secret(tmp_path: Path) -> None:
    where, node = context(tmp_path, role=Role.DATA), with_users(SimulatedNode())
    apply(key_decay, where, node)
    assert "webhook-secret" not in node.text(f"/etc/systemd/system/{NAME}.service")
    assert WEBHOOK_SECRET not in store_of(where.home).names()


def test_a_webhook_needs_its_address(tmp_path: Path) -> None:
    del tmp_path
    with pytest.raises(ValueError, match="belong together"):
        Keys(webhook_url="https://hooks.example/keys")
    with pytest.raises(ValueError, match="webhook_url"):
        Keys(webhook_url="http://hooks.example/keys", webhook_address=IPv4Address("203.0.113.9"))
