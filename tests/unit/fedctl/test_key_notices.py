"""`fedctl keys notices`, `test-notice` and `webhook-secret`: shown, sent at once, never a text."""

import json
from pathlib import Path

import pytest

from deploys.own_secrets import store_of, webhook_text
from fedctl.exits import Exit
from inventory.load import load
from inventory.model import Role
from tests.unit.fedctl.fakes import LAB, Stage
from trust.webhooks import parse

DATA = [node.name for node in load(LAB).with_role(Role.DATA)]


@pytest.fixture
def told(stage: Stage, tmp_path: Path) -> Stage:
    """An operator whose inventory names a webhook."""
    stage.inventory = tmp_path / "webhook.toml"
    stage.inventory.write_text(
        LAB.read_text()
        + '\n[keys]\nwebhook_url = "https://hooks.example/x"\nwebhook_address = "203.0.113.9"\n'
    )
    return stage


def test_a_test_notice_is_put_and_a_data_node_is_started(told: Stage) -> None:
    assert told.fedctl("keys", "test-notice", "--json") == 0, told.err.getvalue()
    value = json.loads(told.out.getvalue())
    assert (value["kind"], value["state"]) == ("webhook.test", "delivered")
    unit = "federation-key-decay.service"
    assert (DATA[0], ("systemctl", "start", "--no-block", unit)) in [
        (name, tuple(argv)) for name, argv in told.machines.ran
    ]
    [event] = told.ledger.events
    assert event.kind == "fedctl.keys.test_notice" and event.data["notice"] == value["id"]


def test_a_test_notice_that_is_not_taken_says_why(told: Stage) -> None:
    told.ledger.takes = "status 503"
    assert told.fedctl("keys", "test-notice") == Exit.FAILED
    assert "status 503" in told.err.getvalue() and "keys notices" in told.err.getvalue()
    assert told.fedctl("keys", "notices") == 0
    assert "pending" in told.out.getvalue() and "status 503" in told.out.getvalue()
    assert told.fedctl("keys", "notices", "--state", "delivered", "--json") == 0
    assert json.loads(told.out.getvalue()) == []


def test_without_a_webhook_nothing_is_put(stage: Stage) -> None:
    assert stage.fedctl("keys", "test-notice") == Exit.FAILED
    assert "webhook_url" in stage.err.getvalue()
    assert stage.ledger.told == [] and stage.machines.ran == []


def test_the_receivers_secret_is_the_newest_and_a_rotation_keeps_the_one_before(
    stage: Stage,
) -> None:
    assert stage.fedctl("keys", "webhook-secret") == 0
    first = stage.out.getvalue().strip()
    assert stage.fedctl("secrets", "rotate", "webhook-secret") == 0
    assert "whsec_" not in stage.out.getvalue() + stage.err.getvalue()
    assert stage.fedctl("keys", "webhook-secret", "--json") == 0
    second = json.loads(stage.out.getvalue())["secret"]
    assert webhook_text(stage.home).split() == [second, first]
    assert len(parse(store_of(stage.home).opened("webhook-secret").text)) == 2
    assert stage.fedctl("secrets", "rotate", "webhook-secret") == 0
    assert first not in webhook_text(stage.home)
