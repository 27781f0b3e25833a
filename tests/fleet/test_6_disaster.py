"""The worst day: every data node is lost at once, and the first repository with them. Then back to
a moment before, on purpose. Last of all that uses the fleet."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from inventory.model import Role
from tests.fleet.clients import openai_client
from tests.fleet.test_1_first_run import complete
from tests.fleet.test_2_backups import asked, both_have_a_backup
from tests.fleet.test_2_replication import well, write
from tests.support.fleet import Fleet, wait_for

Tell = Callable[[str, dict[str, float]], None]
RECOVER_SECONDS = 900
PARTS = ("prepare", "restore", "replay", "verify", "rejoin")


def signed(fleet: Fleet) -> int:
    """The number of the newest event that is under a signed checkpoint, after a verification."""
    return int(fleet.json("ledger", "verify")["signed_events"]) - 1


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Show how long the parts of a restore took, also when all is well."""
    terminal = request.config.get_terminal_writer()

    def show(what: str, took: dict[str, float]) -> None:
        parts = ", ".join(f"{part} {took[part]:.1f} s" for part in (*PARTS, "total"))
        with capsys.disabled():
            terminal.line(f"\n{what}: {parts}")

    return show


def found(fleet: Fleet, kind: str) -> list[dict[str, Any]]:
    """Events of a kind."""
    lines = fleet.fedctl("--json", "ledger", "search", "--kind", kind).stdout.splitlines()
    return [json.loads(line)["event"] for line in lines]


@pytest.fixture(scope="module")
def lost(fleet: Fleet) -> dict[str, Any]:
    """All data nodes and their disks are gone, and `backup recover` has brought them back.

    What was known before (`seq`), and what it said.
    """
    both_have_a_backup(fleet)
    for _ in range(3):
        assert write(fleet)
    seq = signed(fleet)
    point = asked(fleet, "backup", "point", f"before-{datetime.now(UTC):%H%M%S}")
    assert point["archived"]
    # Seen by the witnesses, archived nowhere that is left.
    fleet.shell(fleet.one(Role.OFFSITE), "systemctl stop federation-repository")
    for _ in range(5):
        assert write(fleet)
    wait_for(lambda: signed(fleet) > seq, 60, "a signed checkpoint over what was written")
    nodes = fleet.federation.with_role(Role.DATA)
    assert any(node.has(Role.BACKUP) for node in nodes)
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda node: fleet.fedctl("lab", "reset", node.name, "--yes"), nodes))
    said = asked(fleet, "--yes", "backup", "recover", seconds=RECOVER_SECONDS)
    return {"seq": seq, "said": said}


def test_everything_archived_is_back_and_the_time_is_told(
    fleet: Fleet, lost: dict[str, Any], tell: Tell
) -> None:
    said = lost["said"]
    assert said["repository"] == 2, "the first repository was lost as well"
    assert said["ledger"]["problems"] == []
    assert said["ledger"]["size"] == said["ledger"]["rows"] > lost["seq"]
    took = said["seconds"]
    # Starting and stopping the server that replays is in no part.
    assert 0 <= took["total"] - sum(took[part] for part in PARTS) < 300
    tell("lost and recovered", took)
    well(fleet)
    fleet.fedctl("plan", expect=0)


def test_the_key_from_before_opens_both_gateways(
    fleet: Fleet, lost: dict[str, Any], first_up: dict[str, Any]
) -> None:
    del lost
    for gateway in fleet.federation.with_role(Role.GATEWAY):
        with openai_client(fleet, gateway, first_up["key"]) as client:
            assert complete(client, fleet.federation.inference.served_model_name) > 0
    assert write(fleet)


def test_what_was_lost_is_given_up_by_a_person_and_the_log_says_so(
    fleet: Fleet, lost: dict[str, Any]
) -> None:
    """The witnesses that are left saw more; they refuse until somebody decides."""
    findings = fleet.json("ledger", "verify", expect=1)["findings"]
    assert {each["fault"] for each in findings} <= {"rolled_back", "rewritten", "equivocation"}
    said = asked(fleet, "--yes", "ledger", "accept-restore", "--reason", "three disks at once")
    left = {n.name for n in fleet.federation.nodes if not n.has(Role.DATA)}
    assert set(said["witnesses"]) <= left and said["witnesses"] and not said["refused"]
    fleet.fedctl("ledger", "verify", "--full")
    event = found(fleet, "ledger.restore_accepted")[-1]
    kept = lost["said"]["ledger"]
    assert event["data"]["kept"] == {"size": kept["size"], "root": kept["root"]}
    assert all(each["size"] > kept["size"] for each in event["data"]["seen"])
    again = asked(fleet, "--yes", "ledger", "accept-restore", "--reason", "again")
    assert again["witnesses"] == {}


def test_backups_go_on_in_both_repositories(fleet: Fleet, lost: dict[str, Any]) -> None:
    del lost
    both_have_a_backup(fleet)


def test_back_to_an_events_number_over_the_live_cluster(
    fleet: Fleet, lost: dict[str, Any], tell: Tell
) -> None:
    del lost
    seq = signed(fleet)
    for _ in range(3):
        assert write(fleet)
    wait_for(lambda: signed(fleet) > seq, 60, "a signed checkpoint over what was written")
    said = asked(
        fleet, "--yes", "backup", "restore", "--to", str(seq), "--over-live-cluster",
        seconds=RECOVER_SECONDS,
    )  # fmt: skip
    size = said["ledger"]["size"]
    assert size > seq and said["ledger"]["problems"] == []
    tell(f"back to event {seq}", said["seconds"])
    well(fleet)
    fleet.fedctl("ledger", "verify", expect=1)
    before = len(found(fleet, "ledger.restore_accepted"))
    asked(fleet, "--yes", "ledger", "accept-restore", "--reason", "back before a mistake")
    fleet.fedctl("ledger", "verify", "--full")
    assert len(found(fleet, "ledger.restore_accepted")) == before + 1
