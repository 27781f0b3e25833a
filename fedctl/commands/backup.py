"""`backup ...`: make backups, look at them, prove them, and put the database back from one.

The commands that put it back are in `backup_restore`.
"""

import click

from daemons.recovery.decide import NAME
from fedctl import backups
from fedctl.app import App, FedGroup, pass_app
from fedctl.commands.backup_restore import recover, restore
from fedctl.errors import FedctlError
from fedctl.node_jobs import LONG_SECONDS, asked, done_well, run_unit
from fedctl.remote import Links
from fedctl.render import age, seconds
from fedctl.restore_points import Points
from fedctl.restore_target import Held, goal_of
from fedctl.work import working


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
        [link] = links.need([node])
        with work.progress.phase(f"Back up into repository {number} on {node.name}"):
            run_unit(link, f"federation-{name}.service")
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
            [link] = links.need([node])
            with work.progress.phase(f"Read every file on {node.name}"):
                done = link.run(backups.job("verify"), root=True, seconds=LONG_SECONDS)
                said[node.name] = done_well(link, done, "verifying the repository")
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
    if not NAME.fullmatch(name) or goal_of(name).kind != "name":
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
        made = asked(link, argv, "making the point")
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
        [link] = links.need([node])
        with work.progress.phase(f"Restore, replay and verify on {node.name}"):
            measured = run_unit(link, "federation-restore-test.service")
        work.facts |= measured
        if app.json:
            app.output.data({"run": work.run.id, **measured})
            return
        app.output.say(
            f"{measured['label']}: {measured['events']} events, root {measured['root'][:16]} as "
            f"signed, in {seconds(measured['seconds'])}"
        )


for _command in (restore, recover):
    backup.add_command(_command)


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
