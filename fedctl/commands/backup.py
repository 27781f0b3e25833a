"""`backup ...`: make backups, look at them, prove them, and put the database back from one."""

from typing import Any

import click

from daemons.recovery.decide import NAME
from fedctl import backups, restoring
from fedctl.app import App, FedGroup, pass_app
from fedctl.backups import Held, Points
from fedctl.commands.deploying import pin
from fedctl.errors import FedctlError, NeedsYes
from fedctl.remote import Link, Links
from fedctl.render import age, seconds
from fedctl.selecting import NodeName, no_lock_option
from fedctl.work import working
from inventory.model import Role

OVER = "--over-live-cluster"
target_options = [
    click.option(
        "--repository",
        type=click.IntRange(1, 2),
        help="1 (role backup) or 2 (role offsite); default: the one with the most WAL.",
    ),
    click.option("--set", "label", metavar="LABEL", help="This backup, not the chosen one."),
    click.option("--node", type=NodeName(), help="Restore on this data node, the others follow."),
    no_lock_option,
]


def _targeted(command: Any) -> Any:
    for option in reversed(target_options):
        command = option(command)
    return command


@click.group(cls=FedGroup)
def backup() -> None:
    """Backups of the database: made, proven by restoring them, put back."""


@backup.command()
@click.option("--full", is_flag=True, help="A full backup, whatever the day.")
@click.option("--offsite", is_flag=True, help="The off-site copy instead (always full).")
@pass_app
def now(app: App, full: bool, offsite: bool) -> None:
    """Make a backup now, as the timer does at night, and wait for it."""
    number = 2 if offsite else 1
    node = backups.keepers(app, number)[0]
    name = "offsite-copy" if offsite else "backup-full" if full else "backup"
    with (
        working(app, "backup now", node.name) as work,
        Links(app.parts.connect, app.federation, app.home) as links,
    ):
        link = _reached(links, node)
        with work.progress.phase(f"Back up into repository {number} on {node.name}"):
            _run_unit(link, f"federation-{name}.service")
        found = backups.held(link)
        newest = found.backups[-1]
        work.facts |= {"repository": number, "label": newest.label, "kind": newest.kind}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts, "bytes": newest.size_bytes})
            return
        app.output.say(f"{newest.kind} backup {newest.label} ({_size(newest.size_bytes)})")


@backup.command("list")
@pass_app
def list_(app: App) -> None:
    """Backups in both repositories, oldest first, and the restore points made from here."""
    nodes = backups.keepers(app)
    with Links(app.parts.connect, app.federation, app.home) as links:
        held = list(links.ask(nodes, backups.held).values())
        failed = dict(links.failed)
    points = Points(app.home).all()
    if app.json:
        app.output.data(
            {
                "repositories": held,
                "unreachable": {name: str(error) for name, error in failed.items()},
                "points": points,
            }
        )
    else:
        _show(app, held, points)
    for error in failed.values():
        app.output.warn(str(error).splitlines()[0])
    if failed and not held:
        raise next(iter(failed.values()))


@backup.command()
@click.option("--repository", type=click.IntRange(1, 2), help="Only this one (default: both).")
@pass_app
def verify(app: App, repository: int | None) -> None:
    """Read every file in the repositories and compare it with its checksum."""
    nodes = backups.keepers(app, repository)
    with (
        working(app, "backup verify", app.federation.name) as work,
        Links(app.parts.connect, app.federation, app.home) as links,
    ):
        said: dict[str, str] = {}
        for node in nodes:
            link = _reached(links, node)
            with work.progress.phase(f"Read every file on {node.name}"):
                done = link.run(backups.job("verify"), root=True, seconds=backups.LONG_SECONDS)
                said[node.name] = backups.done_well(link, done, "verifying the repository")
        work.facts["verified"] = list(said)
        if app.json:
            app.output.data({"run": work.run.id, "repositories": said})
            return
        for name, text in said.items():
            app.output.say(f"{name}: every file is as it was stored")
            app.output.text(text.rstrip())


@backup.command()
@click.argument("name")
@pass_app
def point(app: App, name: str) -> None:
    """Name this moment, so that a restore can go to it: fedctl backup restore --to NAME."""
    if not NAME.fullmatch(name) or backups.goal_of(name).kind != "name":
        raise FedctlError(
            f"{name!r} is no name: letters, digits, dot, hyphen, underscore; no time or number"
        )
    points = Points(app.home)
    if name in points.all():
        raise FedctlError(f"there is a restore point {name!r} already", "choose another name")
    with (
        working(app, "backup point", name) as work,
        Links(app.parts.connect, app.federation, app.home) as links,
    ):
        link = backups.leader(app.federation, links)
        port = app.federation.ports.postgres
        argv = backups.recovery("point", f"--name={name}", port=port)
        made = backups.asked(link, argv, "making the point")
        points.add(name, {"time": made["time"], "lsn": made["lsn"]})
        work.facts |= made
        if not made["archived"]:
            app.output.warn(f"{made['segment']} is not in every repository yet: fedctl status")
        if app.json:
            app.output.data({"run": work.run.id, **made})
            return
        app.output.say(f"restore point {name} at {made['time']} ({made['lsn']})")


@backup.command("test-restore")
@pass_app
def test_restore(app: App) -> None:
    """Restore the newest backup beside everything else, replay, verify the ledger, and measure."""
    node = backups.keepers(app, 1)[0]
    with (
        working(app, "backup test-restore", node.name) as work,
        Links(app.parts.connect, app.federation, app.home) as links,
    ):
        link = _reached(links, node)
        with work.progress.phase(f"Restore, replay and verify on {node.name}"):
            measured = _run_unit(link, "federation-restore-test.service")
        work.facts |= measured
        if app.json:
            app.output.data({"run": work.run.id, **measured})
            return
        app.output.say(
            f"{measured['label']}: {measured['events']} events, root {measured['root'][:16]} as "
            f"signed, in {seconds(measured['seconds'])}"
        )


@backup.command()
@click.option("--to", required=True, help="A time, an event's number, a point's name, or latest.")
@click.option(OVER, "over", is_flag=True, help="Yes, replace the running database.")
@_targeted
@pass_app
def restore(
    app: App,
    to: str,
    over: bool,
    repository: int | None,
    label: str | None,
    node: str | None,
    no_lock: bool,
) -> None:
    """Replace the running database by a backup, replayed to a moment; the nodes rejoin by itself.

    Events after that moment are gone from the database (their WAL stays in the repositories), and
    witnesses that saw them say so: see docs/how-to/backups.md before you do this.
    """
    wanted = restoring.Wanted(backups.goal_of(to), repository, label, node)
    if not over:
        raise NeedsYes(
            "a restore replaces the running database, and what came after the moment is lost to it",
            f"say {OVER} when you mean it; after a disaster: fedctl backup recover",
        )
    app.confirm(f"Replace the running database of {app.federation.name} by its state at {to}?")
    with (
        working(app, "backup restore", to) as work,
        work.locked(f"backup restore --to {to}", no_lock=no_lock),
        Links(app.parts.connect, app.federation, app.home) as links,
    ):
        restored = restoring.restore_live(work, links, wanted)
        _tell(app, work.run.id, work.facts, restored)


@backup.command()
@click.option("--to", default="latest", show_default=True, help="As for restore.")
@_targeted
@pass_app
def recover(
    app: App,
    to: str,
    repository: int | None,
    label: str | None,
    node: str | None,
    no_lock: bool,
) -> None:
    """After the loss of every data node: rebuild them, with the data from a repository.

    The machines must be there and take the operator's key, like those `bootstrap` is given.
    """
    wanted = restoring.Wanted(backups.goal_of(to), repository, label, node)
    app.confirm(f"Rebuild the data nodes of {app.federation.name} from a backup?")
    data = app.federation.with_role(Role.DATA)
    with working(app, "backup recover", to) as work:
        with work.progress.phase("Host keys"):
            pin(app, work, [node.name for node in data])
        with Links(app.parts.connect, app.federation, app.home) as links:
            restoring.refuse_if_there(links, data)
        with work.locked(f"backup recover --to {to}", no_lock=no_lock):
            restored = restoring.recover(work, wanted)
        _tell(app, work.run.id, work.facts, restored)


def _tell(app: App, run: str, facts: dict[str, Any], restored: dict[str, Any]) -> None:
    facts |= {key: restored[key] for key in ("seconds", "ledger", "node")}
    if app.json:
        app.output.data({"run": run, **facts, **restored})
        return
    took = restored["seconds"]
    app.output.say(
        f"restored on {restored['node']}: {restored['ledger']['rows']} events, root "
        f"{restored['ledger']['root'][:16]} as signed"
    )
    app.output.say(
        f"{seconds(took['total'])}: preparing {seconds(took['prepare'])}, restoring "
        f"{seconds(took['restore'])}, replaying {seconds(took['replay'])}, verifying "
        f"{seconds(took['verify'])}, rejoining {seconds(took['rejoin'])}"
    )


def _reached(links: Links, node: Any) -> Link:
    links.reach([node])
    if node.name not in links.open:
        raise links.failed[node.name]
    return links.open[node.name]


def _run_unit(link: Link, unit: str) -> dict[str, Any]:
    """Start a job's unit and wait; the JSON it printed last. Raises with what it said."""
    done = link.run(["systemctl", "start", unit], root=True, seconds=backups.LONG_SECONDS)
    ask = ["systemctl", "show", "--value", "-p", "InvocationID", unit]
    invocation = link.run(ask).out.strip()
    which = (
        [f"_SYSTEMD_INVOCATION_ID={invocation}"] if invocation else [f"--unit={unit}", "-n", "20"]
    )
    argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", *which]
    lines = link.run(argv, root=True).out.strip().splitlines()
    if done.code != 0:
        plain = [line for line in lines if not line.startswith(("{", "Starting ", "Failed "))]
        told = [line for line in plain if line.startswith(("federation-", "ERROR"))]
        said = (told or plain)[-1:] or [done.err.strip()]
        raise FedctlError(
            f"{link.node.name}: {unit} failed: {said[0]}",
            f"fedctl logs {unit} --on {link.node.name}",
        )
    return backups.last_json(lines)


def _show(app: App, held: list[Held], points: dict[str, dict[str, str]]) -> None:
    now_ = app.now()
    app.output.table(
        ("repository", "node", "backup", "kind", "finished", "database", "state"),
        [
            (
                str(h.number),
                h.node,
                b.label,
                b.kind,
                age(b.stopped, now_),
                _size(b.size_bytes),
                "CHECKSUM ERRORS" if b.error else "good",
            )
            for h in held
            for b in h.backups
        ],
    )
    for h in held:
        app.output.say(
            f"repository {h.number} on {h.node}: WAL up to {h.newest_wal or 'nothing'}, "
            f"{_size(h.disk_free_bytes)} of {_size(h.disk_size_bytes)} free"
        )
    for name, made in points.items():
        app.output.say(f"restore point {name}: {made['time']}")


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
