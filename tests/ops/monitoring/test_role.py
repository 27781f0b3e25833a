"""The monitoring role: its effects on a node, what it scrapes, and that the tools accept it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from deploys.roles.monitoring import (
    ALERTMANAGER,
    PROMETHEUS,
    RULES,
    configuration,
    jobs,
    monitoring,
)
from inventory.flows import allowed
from inventory.model import Platform, Role
from tests.ops.contexts import context, federation
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_users

HERE = Path(__file__).parent
RUNBOOKS = HERE.parents[2] / "runbooks"
HOW_TO = HERE.parents[2] / "docs" / "how-to"


@pytest.fixture
def node() -> SimulatedNode:
    return with_users(SimulatedNode())


def test_a_bare_node_gets_it_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, role=Role.MONITORING)
    assert plan(monitoring, where, node)
    assert apply(monitoring, where, node) == [
        "create /etc/federation/prometheus/",
        "create /etc/federation/prometheus/rules/",
        "create /etc/federation/alertmanager/",
        "create /etc/federation/web/",
        "create /etc/federation/prometheus/prometheus.yml",
        "create /etc/federation/prometheus/rules/alerts.yml",
        "create /etc/federation/prometheus/rules/recording.yml",
        "create /etc/federation/alertmanager/alertmanager.yml",
        "create /etc/federation/web/federation-prometheus.yml",
        "create /etc/federation/web/federation-alertmanager.yml",
        f"create /etc/systemd/system/{PROMETHEUS}",
        f"create /etc/systemd/system/{ALERTMANAGER}",
        "create /etc/systemd/system/prometheus.service",
        "create /etc/systemd/system/prometheus-alertmanager.service",
        "install prometheus",
        "install prometheus-alertmanager",
        "create /etc/sysusers.d/federation-monitoring.conf",
        "create user fedprometheus",
        "create user fedalerts",
        f"enable {ALERTMANAGER}",
        f"enable {PROMETHEUS}",
        f"start {ALERTMANAGER}",
        f"start {PROMETHEUS}",
    ]
    assert apply(monitoring, where, node) == []
    assert plan(monitoring, where, node) == {}


def test_a_new_node_in_the_inventory_changes_only_what_is_scraped(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, role=Role.MONITORING)
    apply(monitoring, where, node)
    node.units[PROMETHEUS]["restart_needed"] = True
    text = node.text("/etc/federation/prometheus/prometheus.yml")
    node.has_file("/etc/federation/prometheus/prometheus.yml", text.replace("9100", "9999"))
    assert apply(monitoring, where, node) == [
        "update /etc/federation/prometheus/prometheus.yml",
        f"restart {PROMETHEUS}",
    ]


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_everything_scraped_is_something_the_firewall_lets_it_reach(file: str) -> None:
    model = federation(file)
    [watcher] = model.with_role(Role.MONITORING)
    for job in jobs(model):
        for target in job.targets:
            if target != watcher:
                assert allowed(model, watcher.address, target, job.port), (job.name, target.name)


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_every_machine_and_every_role_is_scraped(file: str) -> None:
    model = federation(file)
    found = {job.name: job.targets for job in jobs(model)}
    assert found["node"] == model.nodes
    assert found["federation"] == model.on(Platform.DEBIAN)
    assert found["gateway"] == model.with_role(Role.GATEWAY)
    assert found["engine"] == model.with_role(Role.INFERENCE)
    assert found["postgres"] == model.with_role(Role.DATA)


@pytest.mark.programs
@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_promtool_and_amtool_accept_the_configuration(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "prometheus"
    (folder / "rules").mkdir(parents=True)
    where = context(tmp_path, role=Role.MONITORING, file=file)
    for managed in configuration(where, str(folder)):
        name = Path(managed.path).name
        place = folder / "rules" / name if name in RULES else folder / name
        # promtool wants the certificates to be there.
        content = managed.data.decode()
        for path in ("/etc/federation/tls/node.pem", "/etc/federation/tls/ca.pem"):
            content = content.replace(path, "/dev/null")
        content = content.replace(f"/run/credentials/{PROMETHEUS}/tls.key", "/dev/null")
        place.write_text(content)
    _run("promtool", "check", "config", str(folder / "prometheus.yml"))
    _run("amtool", "check-config", str(folder / "alertmanager.yml"))


@pytest.mark.programs
def test_the_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    _put_rules(tmp_path)
    shutil.copy(HERE / "alerts_test.yml", tmp_path)
    _run("promtool", "test", "rules", str(tmp_path / "alerts_test.yml"))


def test_every_alert_has_a_severity_a_summary_and_a_runbook_that_exists(tmp_path: Path) -> None:
    _put_rules(tmp_path)
    groups = yaml.safe_load((tmp_path / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        name = rule["labels"]["runbook"]
        there = (RUNBOOKS / f"{name}.py").is_file() or (HOW_TO / f"{name}.md").is_file()
        assert there, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


def _put_rules(folder: Path) -> None:
    for managed in configuration(context(folder, role=Role.MONITORING)):
        if Path(managed.path).name in RULES:
            (folder / Path(managed.path).name).write_bytes(managed.data)


def _run(*command: str) -> None:
    """Run a checker; `make test` installs them, and a missing one is a failure, not a skip."""
    assert shutil.which(command[0]), f"{command[0]}: run python -m tests.support.requirements"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
