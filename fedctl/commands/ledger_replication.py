"""`ledger status|switchover|failover`: who leads the ledger's database, and who should."""

import time
from typing import Any

import click
from rich.text import Text

from fedctl.app import App, FedCommand, pass_app
from fedctl.errors import ChecksFailed, NeedsYes, NotHealthy, Refused
from fedctl.parts import ReplicationAccess
from fedctl.render import BAD, DIM, DOUBTFUL, GOOD
from fedctl.replication import Member, View, heir, successor
from fedctl.selecting import no_lock_option
from fedctl.work import Work, working

COLUMNS = ("node", "role", "state", "timeline", "behind", "etcd")
SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.3


@click.command(cls=FedCommand)
@pass_app
def status(app: App) -> None:
    """Who leads, who follows how far behind, and whether etcd has its majority.

    Exit code 1: something is wrong; it is said what.
    """
    view = _reach(app).look()
    problems = view.problems()
    if app.json:
        app.output.data(_value(view))
    else:
        app.output.table(COLUMNS, [_row(member) for member in view.members])
    if problems:
        raise ChecksFailed("\n".join(problems), "docs/how-to/ledger.md says what each one means")


@click.command(cls=FedCommand)
@click.option("--to", metavar="NODE", help="Who is to lead (default: the standby furthest on).")
@no_lock_option
@pass_app
def switchover(app: App, to: str | None, no_lock: bool) -> None:
    """Have another node lead, in good order: nothing is lost, writes pause for a second or two."""
    access = _reach(app)
    view = access.look()
    leader = view.leader
    if leader is None:
        raise Refused("nobody leads, so there is nobody to take over from", "fedctl ledger status")
    _known(app, to)
    if to == leader.name:
        app.output.say(f"{to} leads already")
        return
    choice = successor(view, to)
    if choice.member is None:
        raise Refused(choice.reason, "fedctl ledger status")
    app.confirm(f"Have {choice.member.name} lead in place of {leader.name}?")
    _change(app, access, "switchover", choice.member.name, leader.name, no_lock=no_lock)


@click.command(cls=FedCommand)
@click.option("--to", metavar="NODE", help="Who is to lead (default: who has most of the data).")
@click.option(
    "--accept-data-loss",
    is_flag=True,
    help="Even when writes that were acknowledged may be missing there, and will be gone.",
)
@no_lock_option
@pass_app
def failover(app: App, to: str | None, accept_data_loss: bool, no_lock: bool) -> None:
    """Have a node lead when nobody does and the data nodes do not agree by themselves.

    They do whenever every acknowledged write is surely there; so this is for when it is not, and it
    is refused then without --accept-data-loss.
    """
    access = _reach(app)
    view = access.look()
    if view.leader is not None:
        raise Refused(
            f"{view.leader.name} leads and is well", "fedctl ledger switchover loses nothing"
        )
    _known(app, to)
    choice = heir(view, to)
    if choice.member is None:
        raise Refused(choice.reason, "fedctl ledger status")
    if not choice.safe and not accept_data_loss:
        raise NeedsYes(
            f"{choice.member.name} may lack acknowledged writes: {choice.reason}",
            "start the missing nodes, or say --accept-data-loss and lose what only they have",
        )
    app.confirm(f"Have {choice.member.name} lead{'' if choice.safe else ', whatever is lost'}?")
    _change(app, access, "failover", choice.member.name, None, no_lock=no_lock)


def _change(
    app: App,
    access: ReplicationAccess,
    verb: str,
    target: str,
    leader: str | None,
    *,
    no_lock: bool,
) -> None:
    with (
        working(app, f"ledger {verb}", target) as work,
        work.locked(f"ledger {verb} to {target}", no_lock=no_lock),
    ):
        work.facts |= {"from": leader, "to": target}
        begun = time.monotonic()
        with work.progress.phase(f"{target} takes over"):
            said = access.failover(target) if leader is None else access.switchover(leader, target)
            work.note(said)
            _led_by(access, target)
        work.facts["seconds"] = round(time.monotonic() - begun, 1)
        with work.progress.phase("The others follow"):
            view = _settled(work, access)
        if app.json:
            app.output.data({"run": work.run.id, **work.facts, **_value(view)})
        else:
            app.output.table(COLUMNS, [_row(member) for member in view.members])
        app.output.say(f"{target} leads since {work.facts['seconds']} s after it was asked")


def _led_by(access: ReplicationAccess, target: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        leader = access.look().leader
        if leader is not None and leader.name == target:
            return
        if time.monotonic() > deadline:
            who = leader.name if leader else "nobody"
            raise NotHealthy(
                f"{who} leads, not {target}, {SETTLE_SECONDS:.0f} s after it was asked",
                "fedctl ledger status",
            )
        time.sleep(POLL_SECONDS)


def _settled(work: Work, access: ReplicationAccess) -> View:
    """The view once nothing is wrong any more, or as it is after a while, with what is wrong."""
    deadline = time.monotonic() + SETTLE_SECONDS
    said: tuple[str, ...] = ()
    while True:
        view = access.look()
        problems = view.problems()
        if not problems or time.monotonic() > deadline:
            return view
        if problems != said:
            work.note("; ".join(problems))
            said = problems
        time.sleep(POLL_SECONDS)


def _reach(app: App) -> ReplicationAccess:
    return app.parts.reach_replication(app.federation, app.home, app.now)


def _known(app: App, name: str | None) -> None:
    """Refuse a name that is no node's; raises UnknownNode."""
    if name is not None:
        app.federation.node(name)


def _row(member: Member) -> list[str | Text]:
    style = GOOD if member.good else BAD
    behind = "" if member.lag_bytes is None or member.leads else _bytes(member.lag_bytes)
    return [
        member.name,
        Text(member.role.replace("_", " ") or "?", GOOD if member.leads else ""),
        Text(member.state if member.answers else "does not answer", style),
        str(member.timeline or ""),
        Text(behind, DOUBTFUL if member.lag_bytes else DIM),
        Text("healthy" if member.etcd else "does not answer", GOOD if member.etcd else BAD),
    ]


def _bytes(number: int) -> str:
    if number < 1024:
        return f"{number} B"
    return f"{number / 1024:.0f} KiB" if number < 1 << 20 else f"{number / (1 << 20):.1f} MiB"


def _value(view: View) -> dict[str, Any]:
    return {
        "leader": view.leader.name if view.leader else None,
        "standbys_a_commit_waits_for": view.needed,
        "problems": list(view.problems()),
        "members": [
            {
                "node": member.name,
                "answers": member.answers,
                "role": member.role or None,
                "state": member.state or None,
                "timeline": member.timeline,
                "behind_bytes": None if member.leads else member.lag_bytes,
                "synchronous": member.synchronous,
                "etcd_healthy": member.etcd,
            }
            for member in view.members
        ],
    }
