"""`backup restore|recover`: put the federation's database back from a backup."""

from typing import Any

import click

from fedctl import restoring
from fedctl.app import App, FedCommand, pass_app
from fedctl.commands.deploying import pin
from fedctl.errors import NeedsYes
from fedctl.remote import Links
from fedctl.render import seconds
from fedctl.restore_target import Wanted, goal_of
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


@click.command(cls=FedCommand)
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
    wanted = Wanted(goal_of(to), repository, label, node)
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


@click.command(cls=FedCommand)
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
    wanted = Wanted(goal_of(to), repository, label, node)
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
