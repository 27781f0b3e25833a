"""What a person gets: one command, an answer, and a second run that changes nothing."""

from typing import Any

import httpx2
import pytest
from openai import OpenAI

from deploys.witnesses import nodes_of
from inventory.model import Role
from tests.fleet.clients import openai_client, operator_client, stranger_client
from tests.support.fleet import Fleet, wait_for


def test_the_first_up_ends_with_a_key_and_a_real_answer(
    fleet: Fleet, first_up: dict[str, Any]
) -> None:
    assert first_up["key"].startswith("fed_")
    assert first_up["completion"]["completion_tokens"] > 0
    assert {node["name"] for node in first_up["nodes"]} == {n.name for n in fleet.federation.nodes}


def test_the_first_key_is_strong_and_custody_is_set_up(
    fleet: Fleet, first_up: dict[str, Any]
) -> None:
    assert first_up["custody"].startswith("default/content, default/prompts made")
    (key,) = [key for key in fleet.json("keys", "list") if key["name"] == "first key"]
    assert key["tier"] == "strong"
    kept = {key["key_id"]: key["current_epoch"] for key in fleet.json("custody", "status")["keys"]}
    assert kept == {"default/content": 1, "default/prompts": 1}
    assert len(fleet.json("custody", "drill")["rehearsed"]) == 3


def test_a_second_up_changes_nothing_on_any_node(fleet: Fleet) -> None:
    again = fleet.json("up")
    assert {node["name"]: node["changed"] for node in again["nodes"]} == {
        node.name: 0 for node in fleet.federation.nodes
    }
    assert not again.get("key"), "a second run issues no second key"


def test_plan_has_nothing_pending(fleet: Fleet) -> None:
    fleet.fedctl("plan", expect=0)


def test_the_openai_client_completes_and_streams_through_both_gateways(
    fleet: Fleet, first_up: dict[str, Any]
) -> None:
    gateways = fleet.federation.with_role(Role.GATEWAY)
    assert len(gateways) == 2
    for gateway in gateways:
        with openai_client(fleet, gateway, first_up["key"]) as client:
            model = client.models.list().data[0].id
            assert model == fleet.federation.inference.served_model_name
            assert complete(client, model) > 0
            assert stream(client, model) > 0


def complete(client: OpenAI, model: str) -> int:
    """Tokens of a short answer."""
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say something."}], max_tokens=8
    )
    assert answer.usage is not None
    return answer.usage.completion_tokens


def stream(client: OpenAI, model: str) -> int:
    """Pieces of a short streamed answer, which must end by itself."""
    pieces = 0
    finished = False
    with client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Say something."}],
        max_tokens=8,
        stream=True,
    ) as chunks:
        for chunk in chunks:
            pieces += len(chunk.choices)
            finished = finished or any(choice.finish_reason for choice in chunk.choices)
    assert finished
    return pieces


def test_each_request_left_one_audit_row(fleet: Fleet, first_up: dict[str, Any]) -> None:
    # Requests of tests before this one may still be on their way to the ledger.
    since = sql(fleet, "SELECT clock_timestamp()")
    gateway = fleet.one(Role.GATEWAY)
    with openai_client(fleet, gateway, first_up["key"]) as client:
        for _ in range(3):
            complete(client, fleet.federation.inference.served_model_name)
    wait_for(lambda: audited(fleet, since) >= 3, 60, "three rows in the audit")
    assert audited(fleet, since) == 3


def audited(fleet: Fleet, since: str) -> int:
    """Requests in the audit since a moment, read on the data node by the database's superuser."""
    return int(sql(fleet, f"SELECT count(*) FROM ledger.requests WHERE started_at > '{since}'"))  # noqa: S608


def sql(fleet: Fleet, query: str) -> str:
    """The answer of one query on the node that leads, as its superuser."""
    node = fleet.leader()
    return fleet.inside(
        node, "runuser", "-u", "postgres", "--", "psql", "-AtXd", "federation", "-c", query
    ).strip()


def test_every_run_left_an_event(fleet: Fleet) -> None:
    tables = ("ledger.inbox", "ledger.log")
    assert sum(int(sql(fleet, f"SELECT count(*) FROM {table}")) for table in tables) >= 1  # noqa: S608


def test_prometheus_sees_every_target_up(fleet: Fleet) -> None:
    with operator_client(fleet) as client:
        watcher = fleet.one(Role.MONITORING)
        url = f"https://{watcher.address}:{fleet.federation.ports.prometheus}/api/v1/targets"
        wait_for(lambda: not down(client.get(url).json()), 180, "every target up")
        jobs = {
            target["labels"]["job"] for target in client.get(url).json()["data"]["activeTargets"]
        }
    assert len(jobs) >= 6, jobs


def down(answer: dict[str, Any]) -> list[str]:
    """Targets Prometheus cannot scrape; an empty list of targets counts as one."""
    targets = answer["data"]["activeTargets"]
    return [t["scrapeUrl"] for t in targets if t["health"] != "up"] or ([] if targets else ["?"])


def test_witnesses_take_checkpoints_from_the_sequencers_alone(fleet: Fleet) -> None:
    """Told to them in the first run, and the log is cosigned all the same."""
    data = sorted(node.name for node in fleet.federation.with_role(Role.DATA))
    with operator_client(fleet) as client:
        for node in nodes_of(fleet.federation):
            url = f"https://{node.address}:{fleet.federation.ports.witness}"
            assert sorted(client.get(f"{url}/state").json()["callers"]) == data
            said = client.post(f"{url}/add-checkpoint", content=b"old 0\n\n")
            assert said.status_code == 401, said.text
    found = fleet.json("ledger", "verify")
    for name, seen in found["witnesses"].items():
        assert seen["events"] > 0 and sorted(seen["callers"]) == data, name


def test_a_stranger_without_a_certificate_gets_no_metrics(fleet: Fleet) -> None:
    watcher = fleet.one(Role.MONITORING)
    url = f"https://{watcher.address}:{fleet.federation.ports.prometheus}/metrics"
    with stranger_client(fleet) as client, pytest.raises(httpx2.TransportError):
        client.get(url)
