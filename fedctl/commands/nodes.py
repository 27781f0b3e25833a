"""`service`, `logs`, `exec`: work on many nodes at once over SSH."""

import click

from fedctl import remote
from fedctl.app import App, FedCommand, FedGroup, pass_app
from fedctl.errors import RemoteExit
from fedctl.fanout import Ended, on_each
from fedctl.remote import Done, Link, Links
from fedctl.selecting import no_lock_option, on_option
from fedctl.work import working
from inventory.errors import UnknownNode
from inventory.model import Node

ACT_SECONDS = 180.0


@click.group(cls=FedGroup)
def service() -> None:
    """Start, stop, restart and look at services of ours.

    UNIT may be short: `gateway` means federation-gateway.service.
    """


def _acting(verb: str, does: str) -> None:
    @service.command(verb, help=f"{does} UNIT wherever it is installed, or only --on some nodes.")
    @click.argument("unit")
    @on_option
    @no_lock_option
    @pass_app
    def act(app: App, unit: str, on: tuple[str, ...], no_lock: bool) -> None:
        name = unit_name(unit)
        if verb == "stop":
            app.confirm(f"Stop {name} on {', '.join(on) or 'every node that has it'}?")
        with (
            working(app, f"service {verb}", name) as work,
            Links(app.parts.connect, app.federation, app.home) as links,
            work.locked(f"service {verb} {name}", no_lock=no_lock),
        ):
            nodes = having(app, links, name, on)
            with work.progress.phase(f"{does} {name} on {', '.join(n.name for n in nodes)}"):
                done = links.ask(nodes, lambda link: _systemctl(link, verb, name))
            work.facts["nodes"] = [{"name": n, "exit_code": d.code} for n, d in done.items()]
            _tell(app, links, name, nodes, done)


for _verb, _does in (("start", "Start"), ("stop", "Stop"), ("restart", "Restart")):
    _acting(_verb, _does)


@service.command("status")
@click.argument("unit")
@on_option
@pass_app
def service_status(app: App, unit: str, on: tuple[str, ...]) -> None:
    """How UNIT is, wherever it is installed."""
    name = unit_name(unit)
    with Links(app.parts.connect, app.federation, app.home) as links:
        nodes = having(app, links, name, on)
        _tell(app, links, name, nodes, {})


def _systemctl(link: Link, verb: str, name: str) -> Done:
    return link.run(["systemctl", verb, name], root=True, seconds=ACT_SECONDS)


def _tell(
    app: App, links: Links, name: str, nodes: tuple[Node, ...], done: dict[str, Done]
) -> None:
    """The unit's state on each node, and an error when a node refused."""
    argv = ["systemctl", "show", "-p", "ActiveState,SubState,NRestarts", name]
    answers = links.ask(nodes, lambda link: link.run(argv))
    shown = {node: _properties(answer) for node, answer in answers.items()}
    if app.json:
        app.output.data([{"node": node, "unit": name, **state} for node, state in shown.items()])
    else:
        rows = [
            (node, name, s.get("active_state", "?"), s.get("sub_state", "?"), s.get("restarts", ""))
            for node, s in shown.items()
        ]
        app.output.table(("node", "unit", "active", "state", "restarts"), rows)
    failure = remote.worst(links.failed)
    if failure is not None:
        raise failure
    refused = [f"{n}: {d.err.strip() or d.code}" for n, d in done.items() if d.code != 0]
    if refused:
        first = next(n for n, d in done.items() if d.code != 0)
        error = RemoteExit(1, "\n".join(refused))
        error.advice = f"fedctl logs {name} --on {first}"
        raise error


def _properties(answer: Done) -> dict[str, str]:
    """systemctl prints properties in an order of its own, so by name."""
    names = {"ActiveState": "active_state", "SubState": "sub_state", "NRestarts": "restarts"}
    found = dict(line.partition("=")[::2] for line in answer.out.splitlines())
    return {ours: found[theirs] for theirs, ours in names.items() if theirs in found}


def unit_name(text: str) -> str:
    """The full name: `gateway` is federation-gateway.service."""
    name = text if "." in text else f"{text}.service"
    return name if name.startswith("federation-") or "." in text else f"federation-{name}"


def having(app: App, links: Links, name: str, on: tuple[str, ...]) -> tuple[Node, ...]:
    """Selected nodes on which the unit is installed; raises when there is none."""
    nodes = app.linux(on)
    argv = ["systemctl", "show", "--value", "-p", "LoadState", name]
    answers = links.ask(nodes, lambda link: link.run(argv))
    found = tuple(n for n in nodes if n.name in answers and answers[n.name].out.strip() == "loaded")
    failure = remote.worst(links.failed)
    if failure is not None and (on or not found):
        raise failure
    if not found:
        raise UnknownNode(
            name, tuple(f"units as in `fedctl status --on {n.name}`" for n in nodes[:1])
        )
    return found


@click.command(cls=FedCommand)
@click.argument("unit", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything in the journal, not one unit.")
@on_option
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come, until Ctrl-C.")
@click.option("--since", metavar="WHEN", help="As journalctl takes it: '10 min ago', '2026-01-31'.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many of the latest lines.")
@pass_app
def logs(
    app: App,
    unit: str | None,
    everything: bool,
    on: tuple[str, ...],
    follow: bool,
    since: str | None,
    lines: int,
) -> None:
    """The journal of UNIT (short names will do) on every node, or of everything with --all."""
    if bool(unit) == everything:
        raise click.UsageError("name one UNIT, or say --all")
    argv = [
        "journalctl",
        "--no-pager",
        "--quiet",
        f"--output={'json' if app.json else 'short-iso'}",
    ]
    if since:
        argv.append(f"--since={since}")
    else:
        argv.append(f"--lines={lines}")
    if unit:
        argv.append(f"--unit={unit_name(unit)}")
    if follow:
        argv.append("--follow")
    nodes = app.linux(on)
    with Links(app.parts.connect, app.federation, app.home) as links:
        ended = on_each(app, links, nodes, argv, root=True)
        _finish(links, ended)


@click.command(
    "exec",
    cls=FedCommand,
    context_settings={"allow_interspersed_args": False},
)
@on_option
@click.option("--root", is_flag=True, help="As root (through sudo) instead of as the operator.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@pass_app
def exec_(app: App, on: tuple[str, ...], root: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND on the nodes at once; every line begins with the node it comes from.

    Arguments arrive as they are; for pipes and variables: fedctl exec -- sh -c 'df | tail -1'.
    The exit code is the worst of all nodes'.
    """
    nodes = app.federation.select(on)
    with (
        working(app, "exec", " ".join(command)[:200], tell_ledger=False) as work,
        Links(app.parts.connect, app.federation, app.home) as links,
    ):
        ended = on_each(app, links, nodes, list(command), root=root, collect=app.json)
        work.facts["nodes"] = [{"name": e.node, "exit_code": e.code} for e in ended]
        if app.json:
            app.output.data([e.value() for e in ended])
        _finish(links, ended)


def _finish(links: Links, ended: list[Ended]) -> None:
    failure = remote.worst(links.failed)
    if failure is not None:
        raise failure
    bad = [e for e in ended if e.code != 0]
    if bad:
        said = ", ".join(f"{e.node} {e.code}" for e in bad)
        raise RemoteExit(max(e.code for e in bad), f"exit codes: {said}")
