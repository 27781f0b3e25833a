"""`status`: nodes, units, certificates and versions at a glance."""

import time
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from fedctl import remote
from fedctl.app import App, FedCommand, pass_app
from fedctl.errors import ChecksFailed
from fedctl.looking import health
from fedctl.remote import Links
from fedctl.render import BAD, DIM, DOUBTFUL, GOOD, age
from fedctl.selecting import on_option
from inventory.model import Node
from inventory.services import services
from runbooks.health import CERTIFICATE_WARNING, Health, Severity
from runbooks.observe import Observation, UnitState

WATCH_SECONDS = 3.0
COLUMNS = ("node", "address", "services", "certificate", "release", "load", "disk free", "up")


@click.command(cls=FedCommand)
@on_option
@click.option("--watch", is_flag=True, help="Look again every few seconds until Ctrl-C.")
@pass_app
def status(app: App, on: tuple[str, ...], watch: bool) -> None:
    """Nodes, services, certificates and versions at a glance.

    Exit code 6 when a node cannot be reached, 1 when something critical is wrong.
    """
    nodes = app.federation.select(on)
    with Links(app.parts.connect, app.federation, app.home) as links:
        while watch:
            seen, judged = health(app, links, nodes)
            if app.output.live and not app.json:
                click.clear()
            _show(app, nodes, seen, judged)
            time.sleep(WATCH_SECONDS)
        seen, judged = health(app, links, nodes)
        _show(app, nodes, seen, judged)
        failure = remote.worst(links.failed)
    if failure is not None:
        raise failure
    if not judged.healthy:
        raise ChecksFailed(judged.reason, judged.findings[0].advice)


def _show(app: App, nodes: tuple[Node, ...], seen: dict[str, Observation], judged: Health) -> None:
    if app.json:
        app.output.data(value(nodes, seen, judged))
        return
    now = app.now()
    app.output.table(COLUMNS, [_row(node, seen[node.name], now) for node in nodes])
    if judged.findings:
        app.output.text("")
    for finding in judged.findings:
        style = BAD if finding.severity is Severity.CRITICAL else DOUBTFUL
        advice = f"  ({finding.advice})" if finding.advice else ""
        app.output.styled(
            Text.assemble((f"{finding.severity.value}: ", style), f"{finding}{advice}")
        )
    app.output.say(f"{app.now():%Y-%m-%d %H:%M:%S} UTC  {judged.reason}", style="dim")


def _row(node: Node, seen: Observation, now: datetime) -> list[str | Text]:
    start: list[str | Text] = [node.name, str(node.address)]
    if seen.problem:
        return [*start, Text(seen.problem, BAD), "", "", "", "", ""]
    disk = min((disk.free for _, disk in seen.disks), default=None)
    return [
        *start,
        _units(node, seen),
        _certificate(seen, now),
        seen.release or Text("none", DIM),
        "" if seen.load is None else f"{seen.load:.1f}",
        "" if disk is None else Text(f"{disk:.0%}", BAD if disk < 0.1 else ""),
        "" if seen.uptime_seconds is None else _duration(seen.uptime_seconds),
    ]


def _units(node: Node, seen: Observation) -> Text:
    text = Text()
    wanted = services(node)
    units = {unit.name: unit for unit in seen.units}
    for name in wanted:
        text.append_text(_unit(name, units.get(name)))
    for unit in seen.units:
        if unit.name not in wanted and unit.active == "failed":
            text.append_text(_unit(unit.name, unit))
    text.rstrip()
    return text if text.plain else Text("none", DIM)


def _unit(name: str, unit: UnitState | None) -> Text:
    short = name.removeprefix("federation-").removesuffix(".service")
    if unit is None or unit.load == "not-found":
        return Text(f"{short}(missing) ", BAD)
    if unit.active != "active":
        return Text(f"{short}({unit.active}) ", BAD)
    return Text(f"{short} ", GOOD)


def _certificate(seen: Observation, now: datetime) -> Text:
    end = seen.certificate_not_after
    if end is None:
        return Text("none", DIM)
    if end <= now:
        return Text(f"expired {age(end, now)}", BAD)
    return Text(f"ends {age(end, now)}", DOUBTFUL if end - now < CERTIFICATE_WARNING else "")


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def value(nodes: tuple[Node, ...], seen: dict[str, Observation], judged: Health) -> dict[str, Any]:
    """What `--json` says."""
    return {
        "healthy": judged.healthy,
        "reason": judged.reason,
        "findings": [
            {
                "severity": finding.severity.value,
                "node": finding.node,
                "subject": finding.subject,
                "reason": finding.reason,
                "advice": finding.advice,
            }
            for finding in judged.findings
        ],
        "nodes": [_node_value(node, seen[node.name]) for node in nodes],
    }


def _node_value(node: Node, seen: Observation) -> dict[str, Any]:
    start = {"name": node.name, "address": str(node.address), "roles": list(node.roles)}
    if seen.problem:
        return {**start, "reachable": False, "problem": seen.problem}
    return {
        **start,
        "reachable": True,
        "units": [unit.__dict__ for unit in seen.units],
        "certificate_not_after": seen.certificate_not_after,
        "release": seen.release,
        "load": seen.load,
        "uptime_seconds": seen.uptime_seconds,
        "memory_total_kib": seen.memory_total_kib,
        "memory_available_kib": seen.memory_available_kib,
        "disks": {path: {"size": d.size, "available": d.available} for path, d in seen.disks},
        "reboot_required": seen.reboot_required,
        "clock": seen.clock,
    }
