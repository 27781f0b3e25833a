"""`ledger accept-restore`: say that what a restore took from the log is given up, for good."""

import asyncio
import socket

import click

from deploys.errors import NodeError
from fedctl import accepting
from fedctl.app import App, FedCommand, pass_app
from fedctl.errors import ChecksFailed, FedctlError
from fedctl.log_verify import verify_log
from fedctl.record import IDS
from fedctl.remote import Links
from fedctl.restores import Restores
from fedctl.selecting import no_lock_option
from fedctl.work import Work, actor, working
from ledger.event import Event
from ledger.given_up import KIND, MAX_REASON, GivenUp


@click.command("accept-restore", cls=FedCommand)
@click.option("--reason", required=True, help="Why, for whoever reads the log later.")
@no_lock_option
@pass_app
def accept_restore(app: App, reason: str, no_lock: bool) -> None:
    """After a restore that lost events: have the witnesses go on from the restored log.

    They saw more, and refuse a shorter log until a person decides. What is given up is an event of
    the log (who had seen how much, who gave it up and why); each witness keeps what it had cosigned
    and checks for itself that nothing else changed. Refused when no restore was made from here, and
    for any difference that the last one does not explain. Run it again for witnesses that were
    away.
    """
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise FedctlError(f"a reason has 1 to {MAX_REASON} characters")
    restore = accepting.refuse_without_restore(Restores(app.home).newest)
    access = app.parts.reach_log(app.federation, app.home, app.now)
    apart = asyncio.run(accepting.look(access, restore))
    if not apart.anybody:
        app.output.say("nobody saw more than this log has: there is nothing to accept")
        if app.json:
            app.output.data({"witnesses": {}, "silent": dict(apart.silent)})
        return
    given = apart.given_up(restore, reason)
    app.confirm(
        f"Give up {given.events} events after the first {restore.size}, for good, because the "
        f"restore {restore.run} ({restore.target}) lost them?"
    )
    with (
        working(app, "ledger accept-restore", restore.run) as work,
        work.locked("ledger accept-restore", no_lock=no_lock),
    ):
        refused = _carry_out(work, apart, given)
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
        if refused or apart.silent:
            silent = {**apart.silent, **refused}
            said = "; ".join(f"{node}: {why}" for node, why in silent.items())
            raise ChecksFailed(f"not every witness goes on: {said}", "then the same command again")
        app.output.say(f"{given.events} events are given up; every witness goes on")


def _carry_out(work: Work, apart: accepting.Apart, given: GivenUp) -> dict[str, str]:
    """Why some witnesses did not go on, by node."""
    app = work.app
    access = app.parts.reach_log(app.federation, app.home, app.now)
    restore = accepting.refuse_without_restore(Restores(app.home).newest)
    event = Event(
        id=IDS.next(),
        time=app.now(),
        node=socket.gethostname(),
        actor=actor(),
        kind=KIND,
        subject=f"{given.events} events after {restore.size}",
        data=given.data(),
    )
    with work.progress.phase("Say so in the log"):
        app.parts.open_ledger(app.federation, app.home, app.now).record([event])
        proof, logged = asyncio.run(accepting.signed(access, event.id))
    work.facts |= {"event": str(event.id), "seq": logged.seq, "given_up": given.data()}
    refused: dict[str, str] = {}
    accepted: dict[str, object] = {}
    with Links(app.parts.connect, app.federation, app.home) as links:
        nodes = [app.federation.node(each.witness) for each in apart.witnesses]
        links.reach(nodes)
        for each in apart.witnesses:
            with work.progress.phase(f"The witness on {each.witness} goes on"):
                try:
                    link = links.to(each.witness)
                    order = asyncio.run(accepting.order_for(access, proof, each, restore.size))
                    accepted[each.witness] = accepting.tell(link, order)
                except NodeError as error:
                    refused[each.witness] = accepting.unreachable(error)
    work.facts |= {"witnesses": accepted, "refused": refused}
    with work.progress.phase("Remember the log as it is now"):
        aside = accepting.remember(access, apart, restore)
        if aside:
            work.note(f"what was remembered of the old log is in {aside}")
        if not refused:
            done = asyncio.run(
                verify_log(access, full=True, with_witnesses=True, tell=lambda _: None)
            )
            if done.report.first is not None:
                raise ChecksFailed(f"the log is not what it was: {done.report.first}")
    return refused
