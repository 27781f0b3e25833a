"""Commands as a person types them: exit codes, what goes to which stream, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.errors import FailureKind
from deploys.protocol import (
    Change,
    NodeFailed,
    NodeOutcome,
    OperationFinished,
    Outcome,
    Result,
    StageFinished,
    StageStarted,
    Summary,
)
from fedctl import host_keys, runs
from fedctl.deploy import Order, Stopper
from fedctl.lock_shell import acquire
from fedctl.program import run
from fedctl.remote import Done, Links
from inventory.load import load
from ledger.errors import Unavailable
from tests.unit.fedctl.fakes import LAB, SITE, Stage, node_summary
from tests.unit.fedctl.test_fleet_lock import ELSEWHERE

FEDERATION = load(LAB)
NAMES = [node.name for node in FEDERATION.nodes]
FIRST = NAMES[0]
PENDING = OperationFinished(
    FIRST, "base", "Hosts file", Result.PENDING, 0.1,
    (Change("update", "/etc/hosts", "-old\n+new"), Change("create", "/etc/secret")),
)  # fmt: skip


def said(stage: Stage) -> str:
    return stage.err.getvalue()


def data(stage: Stage) -> str:
    return stage.out.getvalue()


# plan and apply


def test_plan_lists_changes_on_stdout_and_exits_3(stage: Stage) -> None:
    stage.deploys.outcome, stage.deploys.events = Outcome.PENDING, (PENDING,)
    assert stage.fedctl("plan") == 3
    assert "~ update /etc/hosts" in data(stage)
    assert "      +new" in data(stage)
    assert "1 operation pending on 1 node" in said(stage)
    assert "error" not in said(stage)


def test_plan_as_json_has_every_change(stage: Stage) -> None:
    stage.deploys.outcome, stage.deploys.events = Outcome.PENDING, (PENDING,)
    assert stage.fedctl("plan", "--json") == 3
    value = json.loads(data(stage))
    assert value["outcome"] == "pending"
    assert value["pending"][0]["changes"][0] == {
        "action": "update", "subject": "/etc/hosts", "diff": "-old\n+new",
    }  # fmt: skip


def test_plan_with_nothing_pending_exits_0_and_takes_no_lock(stage: Stage) -> None:
    assert stage.fedctl("plan") == 0
    assert not stage.machines.ran


def test_apply_off_a_terminal_refuses_without_yes(stage: Stage) -> None:
    assert stage.fedctl("apply") == 2
    assert "--yes" in said(stage)
    assert not stage.deploys.orders


def test_apply_holds_the_lock_and_gives_it_back(stage: Stage) -> None:
    seen: list[bool] = []

    def during() -> None:
        seen.extend((stage.machines.folder / name / "lock.json").exists() for name in NAMES)

    stage.deploys.during = during
    assert stage.fedctl("apply", "--yes") == 0
    assert seen == [True] * len(NAMES)
    assert not any((stage.machines.folder / name / "lock.json").exists() for name in NAMES)


def test_apply_tells_what_it_does_and_the_ledger(stage: Stage) -> None:
    done = OperationFinished(FIRST, "base", "x", Result.CHANGED, 0.1, (Change("update", "/etc/x"),))
    stage.deploys.events = (
        StageStarted("ground", 1, (FIRST,)),
        done,
        StageFinished("ground", 1, True, 1.0),
    )
    stage.deploys.outcome = Outcome.CHANGED
    stage.deploys.nodes = (node_summary(FIRST, NodeOutcome.CHANGED, changed=1),)
    assert stage.fedctl("apply", "--yes", "--limit", FIRST) == 0
    assert f"✓ ground on {FIRST}" in said(stage)
    assert "changed update /etc/x" in said(stage)
    assert "1 change on 1 node" in said(stage)
    (event,) = stage.ledger.events
    assert event.kind == "fedctl.apply"
    assert event.subject == FIRST
    assert event.data["exit_code"] == 0
    assert stage.deploys.orders[0].limit == (FIRST,)


def test_a_failure_names_the_node_and_the_log(stage: Stage) -> None:
    stage.deploys.outcome = Outcome.UNREACHABLE
    stage.deploys.events = (NodeFailed(FIRST, "down", f"{FIRST}: no route"),)
    stage.deploys.nodes = (
        node_summary(FIRST, NodeOutcome.FAILED, failure="down", message=f"{FIRST}: no route"),
    )
    assert stage.fedctl("apply", "--yes") == 6
    assert f"error: {FIRST}: down: no route" in said(stage)
    assert "fedctl runs show" in said(stage)


def test_an_undone_change_says_so_and_exits_4(stage: Stage) -> None:
    stage.deploys.outcome = Outcome.ROLLED_BACK
    assert stage.fedctl("apply", "--yes") == 4
    assert "undone" in said(stage)


def test_ctrl_c_exits_130_and_frees_the_lock(stage: Stage) -> None:
    def during() -> None:
        raise KeyboardInterrupt

    stage.deploys.during = during
    assert stage.fedctl("apply", "--yes") == 130
    assert "Traceback" not in said(stage)
    assert stage.fedctl("--json", "lock", "show") == 0
    assert json.loads(data(stage))["held"] is False


def test_a_run_that_loses_its_lock_says_so_and_is_not_called_interrupted(stage: Stage) -> None:
    def stopped(order: Order, hear: object, log: object, stopper: Stopper) -> Summary:
        stopper.stop("the fleet lock was broken by bob@laptop")
        return Summary(order.mode, Outcome.INTERRUPTED, "interrupted", 1.0)

    app = stage.app()
    app.parts = replace(app.parts, run_deploy=stopped)
    assert run(["apply", "--yes"], app) == 1
    assert "broken by bob@laptop" in stage.err.getvalue()


def test_an_unreachable_majority_is_an_error_unless_no_lock_is_said(stage: Stage) -> None:
    stage.machines.down = set(NAMES)
    assert stage.fedctl("apply", "--yes") == 6
    assert "--no-lock" in said(stage)
    assert stage.fedctl("apply", "--yes", "--no-lock") == 0
    assert "without the fleet lock" in said(stage)


def test_an_unknown_selector_is_an_error_before_anything_happens(stage: Stage) -> None:
    for command in (("plan", "--limit"), ("apply", "--yes", "--limit"), ("status", "--on")):
        assert stage.fedctl(*command, "no-such-node") == 2
        assert "no-such-node" in said(stage)
    assert not stage.deploys.orders


# the ledger


def test_a_ledger_that_is_away_is_told_later(stage: Stage) -> None:
    stage.ledger.error = Unavailable("no server")
    assert stage.fedctl("apply", "--yes") == 0
    assert "the next run sends it" in said(stage)
    stage.ledger.error = None
    assert stage.fedctl("apply", "--yes") == 0
    assert len(stage.ledger.events) == 2
    assert stage.ledger.events[0].time <= stage.ledger.events[1].time
    assert not runs.unsent(stage.home.runs)


def test_a_failure_is_recorded_whatever_the_node_printed(stage: Stage) -> None:
    stage.deploys.outcome = Outcome.FAILED
    message = "\x00, " + "x" * 1_000_000
    failed = node_summary(FIRST, NodeOutcome.FAILED, failure="operation failed", message=message)
    stage.deploys.nodes = (failed,)
    assert stage.fedctl("apply", "--yes") == 1
    [event] = stage.ledger.events
    assert event.data["nodes"][0]["message"].startswith("\ufffd, xxx")


def test_an_interrupted_run_is_recorded_by_the_next(stage: Stage) -> None:
    def during() -> None:
        raise KeyboardInterrupt

    stage.deploys.during = during
    assert stage.fedctl("apply", "--yes") == 130
    assert not stage.ledger.events
    stage.deploys.during = lambda: None
    assert stage.fedctl("apply", "--yes") == 0
    assert {event.data["exit_code"] for event in stage.ledger.events} == {130, 0}


# the lock


def hold_elsewhere(stage: Stage) -> None:
    links = Links(stage.machines.connect, FEDERATION, stage.home)
    from fedctl.fleet_lock import ask

    ask(links, FEDERATION.nodes, acquire(ELSEWHERE.token, 60, ELSEWHERE.head()))


def test_a_held_lock_exits_7_with_owner_and_reason(stage: Stage) -> None:
    hold_elsewhere(stage)
    assert stage.fedctl("apply", "--yes") == 7
    assert "bob@laptop" in said(stage)
    assert not stage.deploys.orders
    assert stage.fedctl("lock", "show") == 0
    assert "bob@laptop" in data(stage)
    assert stage.fedctl("lock", "show", "--json") == 0
    assert json.loads(data(stage))["owner"] == "bob@laptop"


def test_breaking_a_lock_needs_yes_and_says_whose_it_was(stage: Stage) -> None:
    hold_elsewhere(stage)
    assert stage.fedctl("lock", "break") == 2
    assert "bob@laptop" in said(stage)
    assert stage.fedctl("lock", "break", "--yes") == 0
    assert stage.fedctl("apply", "--yes") == 0
    assert stage.fedctl("lock", "break", "--yes") == 0
    assert "nothing to break" in said(stage)


# bootstrap


def test_bootstrap_limits_to_the_node_and_pins_by_the_lab(stage: Stage) -> None:
    assert stage.fedctl("bootstrap", FIRST, "--yes") == 0
    assert stage.deploys.orders[0].limit == (FIRST,)
    assert stage.lab.calls == ["pin_host_keys"]
    assert stage.fedctl("bootstrap", FIRST) == 2


def test_a_site_pins_what_the_inventory_says_and_nothing_else(tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXKR+U7r3pC1cLqVIGPcSfuI6tzyU+Kf6AnDkX1xZ4m"
    text = SITE.read_text().replace(
        'address = "192.168.132.222"',
        f'address = "192.168.132.222"\nssh = {{ host_key = "{key}" }}',
    )
    path = tmp_path / "site.toml"
    path.write_text(text)
    stage = Stage(tmp_path, inventory=path)
    assert stage.fedctl("plan") == 0
    site = load(path)
    pins = {node.name: host_keys.pinned(site, stage.home, node) for node in site.nodes}
    assert [pin for pin in pins.values() if pin] == [(key,)]


# lab verbs


@pytest.mark.parametrize("verb", ["kill", "reset"])
def test_destroying_verbs_refuse_off_a_terminal_without_yes(stage: Stage, verb: str) -> None:
    assert stage.fedctl("lab", verb, FIRST) == 2
    assert stage.lab.calls == []
    assert stage.fedctl("lab", verb, FIRST, "--yes") == 0
    assert stage.lab.calls == [verb]


def test_clean_leaves_nothing_that_binds_the_next_machines(stage: Stage) -> None:
    home = stage.home
    for name in (
        "witnesses/anode.pub",
        "authority/ca.pem",
        "restores.json",
        "ledger.vkey",
        "new/a",
    ):
        (home.root / name).parent.mkdir(parents=True, exist_ok=True)
        (home.root / name).write_text("of the machines that go")
    untold = home.runs / "20260101T000000Z-abcdef"
    untold.mkdir(parents=True)
    for name in (runs.EVENT, runs.SUMMARY):
        (untold / name).write_text("{}")
    assert stage.fedctl("lab", "clean", "--yes") == 0
    assert [entry.name for entry in home.root.iterdir() if entry != home.cache] == ["runs"]
    assert (untold / runs.SUMMARY).exists()
    assert runs.unsent(home.runs) == ()


@pytest.mark.parametrize(
    "argv",
    [("up",), ("down",), ("status",), ("kill", "x"), ("boot",), ("reset", "x"), ("clean",),
     ("cut", "x"), ("heal",), ("shell", "x"), ("exec", "x", "ls"), ("logs", "x")],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_lab_verbs_refuse_a_site(tmp_path: Path, argv: tuple[str, ...]) -> None:
    stage = Stage(tmp_path, inventory=SITE)
    assert stage.fedctl("lab", *argv, "--yes") == 2 or argv[0] in ("exec", "shell")
    assert stage.lab.calls == []
    assert "is for labs" in said(stage)


# keys


def test_an_issued_key_is_on_stdout_alone(stage: Stage) -> None:
    assert stage.fedctl("keys", "issue", "ada") == 0
    key = data(stage).strip()
    assert key.startswith("fed_")
    assert key not in said(stage)
    for path in stage.home.runs.rglob("*"):
        assert path.is_dir() or key not in path.read_text()
    assert key not in str(stage.ledger.events)


def test_keys_are_listed_and_revoked(stage: Stage) -> None:
    assert stage.fedctl("keys", "issue", "ada", "--expires", "30d", "--json") == 0
    issued = json.loads(data(stage))
    assert stage.fedctl("keys", "list") == 0
    assert "ada" in data(stage)
    assert issued["key"] not in data(stage)
    assert stage.fedctl("keys", "revoke", issued["id"]) == 2, "it cannot be taken back"
    assert stage.fedctl("keys", "revoke", issued["id"], "--yes") == 0
    assert stage.fedctl("keys", "list", "--json") == 0
    assert json.loads(data(stage)) == []
    assert stage.fedctl("keys", "revoke", "nope", "--yes") == 1


def test_a_key_is_replaced_and_its_successor_is_on_stdout_alone(stage: Stage) -> None:
    assert stage.fedctl("keys", "issue", "ada", "--json") == 0
    old = json.loads(data(stage))["id"]
    assert stage.fedctl("keys", "rotate", old, "--overlap", "12h") == 0
    key = data(stage).strip()
    assert key.startswith("fed_")
    assert f"replaces {old}, which ends in 12 h" in said(stage)
    assert key not in said(stage) + str(stage.ledger.events)
    assert stage.fedctl("keys", "rotate", "nope") == 1


def test_a_keys_life_is_shown_and_explained(stage: Stage) -> None:
    assert stage.fedctl("keys", "issue", "ada", "--json") == 0
    key = json.loads(data(stage))["id"]
    assert stage.fedctl("keys", "list") == 0
    assert "strong" in data(stage)
    assert stage.fedctl("keys", "show", key, "--json") == 0
    shown = json.loads(data(stage))
    assert (shown["tier"], shown["strength"], shown["idle_days"]) == ("strong", 50.0, 20.0)
    assert stage.fedctl("keys", "show", key) == 0
    assert "strength" in data(stage)
    assert stage.fedctl("keys", "explain", key) == 0
    told = data(stage)
    assert "Never used; issued 20.0 days ago: 50 % remain after that rest." in told
    assert "2026-02-09" in told and "2026-03-01" in told and "strong 70 │" in told
    assert stage.fedctl("keys", "explain", "nope") == 1


def test_a_life_is_simulated_without_a_ledger(stage: Stage) -> None:
    assert stage.fedctl("keys", "simulate", "--json") == 0
    told = json.loads(data(stage))
    assert [each["tier"] for each in told["changes"]] == ["normal", "weak", "dormant"]
    assert [each["day"] for each in told["changes"]] == [10.3, 26.5, 46.5]
    assert stage.fedctl("keys", "simulate", "--until-day", "60", "--misuse", "5:replay") == 0
    assert "dormant" not in data(stage)
    assert stage.fedctl("keys", "simulate", "--misuse", "5:nonsense") == 2
    assert "DAY:KIND" in said(stage)


def test_a_strange_duration_is_refused(stage: Stage) -> None:
    assert stage.fedctl("keys", "issue", "ada", "--expires", "soon") == 2
    assert "12h" in said(stage)


# exec, service, logs


def test_exec_prefixes_lines_and_ends_with_the_worst_code(stage: Stage) -> None:
    stage.machines.answers = {
        "uname": Done(0, "Linux\n", ""),
        f"{FIRST}:uname": Done(3, "", "no\n"),
    }
    assert stage.fedctl("exec", "--", "uname", "-a") == 3
    assert f"{NAMES[1]:<11} | Linux" in data(stage)
    assert f"{FIRST:<11} | no" in said(stage)
    assert stage.fedctl("exec", "--json", "uname") == 3
    value = json.loads(data(stage))
    assert value[0] == {"node": FIRST, "exit_code": 3, "stdout": "", "stderr": "no"}


def test_an_option_that_exec_does_not_have_is_not_run_on_nodes(stage: Stage) -> None:
    assert stage.fedctl("exec", "--limit", FIRST, "--", "uname") == 2
    assert "--limit" in said(stage)
    assert stage.machines.ran == []
    stage.machines.answers = {"uname": Done(0, "Linux\n", "")}
    assert stage.fedctl("exec", "uname", "--limit") == 0
    assert {argv for _, argv in stage.machines.ran} == {("uname", "--limit")}


def test_exec_says_who_cannot_be_reached(stage: Stage) -> None:
    stage.machines.down, stage.machines.failure = {FIRST}, FailureKind.WRONG_KEY
    stage.machines.answers = {"true": Done(0, "", "")}
    assert stage.fedctl("exec", "true") == 6
    assert FIRST in said(stage)


def test_a_service_is_restarted_where_it_is_installed(stage: Stage) -> None:
    stage.machines.answers = {
        "systemctl": Done(0, "not-found\n", ""),
        f"{FIRST}:systemctl": Done(0, "loaded\n", ""),
    }
    assert stage.fedctl("service", "restart", "gateway") == 0
    restarted = [node for node, argv in stage.machines.ran if argv[1:2] == ("restart",)]
    assert restarted == [FIRST]
    assert ("systemctl", "restart", "federation-gateway.service") in {
        argv for _, argv in stage.machines.ran
    }
    assert stage.fedctl("service", "stop", "gateway") == 2


def test_logs_need_a_unit_or_all(stage: Stage) -> None:
    assert stage.fedctl("logs") == 2
    stage.machines.answers = {"journalctl": Done(0, "line\n", "")}
    assert stage.fedctl("logs", "gateway", "--on", FIRST) == 0
    assert data(stage).endswith("| line\n")


# the inventory, runs, completion, defects


def test_a_wrong_inventory_is_refused_with_field_and_value(stage: Stage, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(LAB.read_text().replace('kind = "lab"', 'kind = "zoo"'))
    assert stage.fedctl("-i", str(bad), "inventory", "check") == 2
    assert "kind" in said(stage)
    assert "zoo" in said(stage)
    assert stage.fedctl("-i", str(bad), "inventory", "check", "--json") == 1
    assert json.loads(data(stage))["problems"][0]["field"] == "kind"
    assert stage.fedctl("-i", str(tmp_path / "none.toml"), "status") == 2


def test_a_hedge_without_a_second_engine_is_a_warning(stage: Stage, tmp_path: Path) -> None:
    hedged = tmp_path / "hedged.toml"
    hedged.write_text(
        LAB.read_text().replace("[inference]\n", "[inference]\nhedge_after_seconds = 2\n")
    )
    assert stage.fedctl("-i", str(hedged), "inventory", "check") == 0
    assert "nothing wrong" in data(stage)
    assert "no second node with the role inference" in said(stage)
    assert stage.fedctl("-i", str(LAB), "inventory", "check") == 0
    assert "warning" not in said(stage)


def test_runs_are_listed_and_shown(stage: Stage) -> None:
    stage.fedctl("apply", "--yes")
    assert stage.fedctl("runs", "list") == 0
    assert "apply" in data(stage)
    assert stage.fedctl("runs", "show") == 0
    assert "ended with exit code 0" in data(stage)
    assert stage.fedctl("runs", "show", "nope") == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(stage: Stage, shell: str) -> None:
    assert stage.fedctl("completion", shell) == 0
    assert "_FEDCTL_COMPLETE" in data(stage)


def test_a_defect_shows_no_traceback_unless_asked(stage: Stage) -> None:
    def during() -> None:
        raise ZeroDivisionError("oops")

    stage.deploys.during = during
    assert stage.fedctl("apply", "--yes") == 1
    assert "ZeroDivisionError: oops" in said(stage)
    assert "Traceback" not in said(stage)
    assert stage.fedctl("apply", "--yes", "--debug") == 1
    assert "Traceback" in said(stage)


def test_usage_is_shown_by_tenant_and_key(stage: Stage) -> None:
    assert stage.fedctl("usage") == 0
    assert "tiny" in data(stage)
    assert stage.fedctl("usage", "--since", "12h", "--json") == 0
    values = json.loads(data(stage))
    assert [(row["tenant"], row["requests"], row["prompt_tokens"]) for row in values] == [
        ("default", 3, 21)
    ]
    assert stage.fedctl("usage", "--tenant", "nobody", "--json") == 0
    assert json.loads(data(stage)) == []
    assert stage.fedctl("usage", "--since", "yesterday") == 2
