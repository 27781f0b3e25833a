"""`custody init|status|rotate`: data keys and their cards made, looked at, given new epochs."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from fedctl import custody_cards, custody_work
from fedctl.app import App, FedCommand, pass_app
from fedctl.custody_cards import Cards
from fedctl.custody_options import cards_option, given_by, tenant_option, with_shares
from fedctl.custody_work import Overview
from fedctl.errors import ChecksFailed
from fedctl.render import age
from fedctl.work import working
from ledger.custody import CONTENT
from trust.rotation import Decision, Kind
from trust.shares import Holder

dry_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command(cls=FedCommand)
@tenant_option
@click.option(
    "--class", "classes", multiple=True, default=(CONTENT,), show_default=True,
    help="What the keys are for; content is the ledger's personal content.",
)  # fmt: skip
@cards_option
@with_shares
@dry_option
@pass_app
def init(
    app: App,
    tenant: str,
    classes: tuple[str, ...],
    folder: Path,
    cards_given: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
    dry_run: bool,
) -> None:
    """Make a tenant's data keys, and a card for each share that nobody has yet.

    The first time that is all three; the guardian's share is the one that its node has. For
    another tenant it is the client's alone, and the gateway's card is needed. Run again, it
    changes nothing.
    """
    access = app.parts.reach_custody(app)
    if dry_run:
        _show_init(app, asyncio.run(custody_work.overview(access, None)), tenant, classes)
        return
    given = given_by(access, cards_given, asked, guardian, "init")
    cards = Cards(folder, app.federation.name)
    with working(app, "custody init", tenant) as work:
        written, made = asyncio.run(custody_work.init(access, tenant, classes, given, cards))
        work.facts |= {"tenant": tenant, "keys": made, "cards": [path.name for path in written]}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts, "folder": folder})
            return
        if not made:
            app.output.say("every key is there: nothing to do")
        for key in made:
            app.output.say(f"{key}: made, stored, and opened by each of the three pairs")
        for path in written:
            app.output.say(f"card: {path}")
        if written:
            app.output.warn(
                "print each card, have it read back, give it to its holder, and wipe the file: "
                "docs/how-to/custody.md"
            )


@click.command(cls=FedCommand)
@click.option("--tenant", help="Only this one's keys (default: all).")
@pass_app
def status(app: App, tenant: str | None) -> None:
    """Keys with their epochs and envelopes, rotations under way, and whose shares there are."""
    found = asyncio.run(custody_work.overview(app.parts.reach_custody(app), tenant))
    if app.json:
        app.output.data(_value(found))
        return
    if not found.keys:
        app.output.say("no data keys yet: fedctl custody init --cards FOLDER")
        return
    now = app.now()
    app.output.table(
        ("key", "epoch", "envelopes", "made", "rotation"),
        [
            (
                key.key_id,
                str(key.current_epoch),
                ", ".join(f"{count} under {epoch}" for epoch, count in key.epochs.items()),
                age(key.made_at, now),
                _rotation(found, key.key_id, now),
            )
            for key in found.keys
        ],
    )
    app.output.table(
        ("share of", "tenant", "number", "mark", "made", "by"),
        [
            (s.holder, s.tenant or "all", str(s.version), s.mark.hex(), age(s.made_at, now),
             s.made_by)
            for s in found.shares
        ],
    )  # fmt: skip


@click.command(cls=FedCommand)
@click.argument("key", metavar="TENANT/CLASS")
@with_shares
@click.option("--wait", is_flag=True, help="Seal anew here, also with --guardian.")
@dry_option
@pass_app
def rotate(
    app: App,
    key: str,
    cards_given: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
    wait: bool,
    dry_run: bool,
) -> None:
    """Give a key a new epoch: seal content anew, drop the old data key once nobody needs it.

    The new key is opened by all three pairs before anything is sealed under it. With --guardian,
    the guardian then seals in the background what lies under the old one (see custody status);
    otherwise this command does. Cut off anywhere, the same command goes on. The old key stays as
    long as a backup may hold content under it.
    """
    access = app.parts.reach_custody(app)
    given = given_by(
        access, cards_given, asked, guardian, f"rotate {key}"[:100], key.partition("/")[0]
    )
    if dry_run:
        run, decision = asyncio.run(custody_work.rotation(access, key, given, None))
        value = {"from": run.plan.old, "to": run.plan.new, **_decision(decision)}
        if app.json:
            app.output.data(value)
        else:
            app.output.say("{from} to {to}, {phase}: {result} ({reason})".format(**value))
        return
    with working(app, "custody rotate", key[:200]) as work:
        run, decision = asyncio.run(
            custody_work.rotation(access, key, given, work.run.log, wait=wait)
        )
        work.facts |= {"from": run.plan.old, "to": run.plan.new, **_decision(decision)}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
        elif decision.kind is Kind.DONE:
            app.output.say(f"{key} is at epoch {run.plan.new}; the key of {run.plan.old} is gone")
        elif decision.kind is Kind.ACT:
            app.output.say(
                f"{key} is at epoch {run.plan.new}; the guardian seals anew: {decision.reason}"
            )
        elif decision.kind is Kind.WAIT:
            app.output.say(f"{key}: {decision.reason}; run it again later, it goes on from here")
        if decision.kind is Kind.HALT:
            raise ChecksFailed(f"{key}: {decision.reason}", "nothing is lost: see custody status")


def _show_init(app: App, found: Overview, tenant: str, classes: tuple[str, ...]) -> None:
    present = {key.object_class for key in found.keys if key.tenant == tenant}
    made = [f"{tenant}/{each}" for each in classes if each not in present]
    cards = [
        holder.value
        for holder in Holder
        if custody_cards.record_of(found.shares, holder, tenant) is None
    ]
    if app.json:
        app.output.data({"keys": made, "cards": cards if made else []})
        return
    app.output.say(f"keys to make: {', '.join(made) or 'none'}")
    app.output.say(f"new cards: {', '.join(cards) if made and cards else 'none'}")


def _rotation(found: Overview, key: str, now: datetime) -> str:
    standing = found.rotations.get(key)
    if standing is None:
        return "never"
    plan = standing.plan
    return f"{plan.old} to {plan.new}: {plan.phase}, {age(standing.saved_at, now)}"


def _decision(decision: Decision) -> dict[str, str]:
    return {
        "result": decision.kind.value,
        "phase": decision.plan.phase.value,
        "reason": decision.reason,
    }


def _value(found: Overview) -> dict[str, Any]:
    return {
        "keys": [key.__dict__ for key in found.keys],
        "shares": [{**share.__dict__, "mark": share.mark.hex()} for share in found.shares],
        "rotations": {
            key: {
                "from": each.plan.old,
                "to": each.plan.new,
                "phase": each.plan.phase.value,
                "began_at": each.began_at,
                "saved_at": each.saved_at,
                "rewrapped_at": each.rewrapped_at,
            }
            for key, each in found.rotations.items()
        },
    }
