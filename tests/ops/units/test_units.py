"""`units`: what it does for each way a unit can stand."""

from pathlib import Path
from typing import Any

import pytest

from deploys.context import NodeContext
from deploys.operations.units import Unit, difference, units
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply

GOOD = {
    "load": "loaded",
    "active": "active",
    "sub": "running",
    "file": "enabled",
    "reload_needed": False,
    "restart_needed": False,
}
NAME = "federation-x.service"


@pytest.mark.parametrize(
    ("unit", "state", "expected"),
    [
        (Unit(NAME), {}, []),
        (Unit(NAME), {"active": "inactive"}, [f"start {NAME}"]),
        (Unit(NAME), {"active": "failed"}, [f"start {NAME}"]),
        (Unit(NAME), {"active": "activating"}, [f"start {NAME}"]),
        (Unit(NAME), {"file": "disabled"}, [f"enable {NAME}"]),
        (Unit(NAME), {"file": "static"}, []),
        (Unit(NAME), {"restart_needed": True}, [f"restart {NAME}"]),
        (Unit(NAME, reload=True), {"restart_needed": True}, [f"reload {NAME}"]),
        (Unit(NAME, running=False), {}, [f"stop {NAME}"]),
        (Unit(NAME, running=False), {"active": "failed"}, []),
        (Unit(NAME, enabled=False), {}, [f"disable {NAME}"]),
        (Unit(NAME), {"reload_needed": True}, ["daemon-reload systemd"]),
        (
            Unit(NAME),
            {"file": "masked", "active": "inactive"},
            [f"unmask {NAME}", f"enable {NAME}", f"start {NAME}"],
        ),
    ],
)
def test_a_unit(unit: Unit, state: dict[str, Any], expected: list[str]) -> None:
    found = difference({NAME: {**GOOD, **state}}, [unit])
    assert [str(change) for change in found.changes] == expected


def test_a_unit_nobody_knows_is_enabled_and_started_after_systemd_looked_again() -> None:
    found = difference({}, [Unit(NAME)])
    assert [str(change) for change in found.changes] == [f"enable {NAME}", f"start {NAME}"]
    assert found.argument["daemon_reload"]


def test_units_start_in_the_order_given() -> None:
    found = difference({}, [Unit("b.service"), Unit("a.service")])
    assert found.argument["start"] == [["start", "b.service"], ["start", "a.service"]]


def deploy(_: NodeContext) -> None:
    units(name="Units", units=[Unit(NAME), Unit("x.timer")], masked=["postgresql.service"])


def test_the_second_time_nothing_happens(tmp_path: Path) -> None:
    node, where = SimulatedNode(), context(tmp_path)
    assert apply(deploy, where, node) == [
        "mask postgresql.service",
        f"enable {NAME}",
        "enable x.timer",
        f"start {NAME}",
        "start x.timer",
    ]
    assert apply(deploy, where, node) == []
