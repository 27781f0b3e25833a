"""`prompts ...`: what gateways keep of tenants that chose it, sealed; opened by two shares."""

import asyncio
from pathlib import Path
from uuid import UUID

import click

from fedctl import prompts_work
from fedctl.app import App, FedGroup, pass_app
from fedctl.chat_words import harmless
from fedctl.custody_options import given_by, with_shares
from fedctl.render import age
from fedctl.work import working
from ledger.keys import DEFAULT_TENANT

MAX_DAYS = 3650
request_argument = click.argument("request", metavar="REQUEST_ID", type=click.UUID)


@click.group(cls=FedGroup)
def prompts() -> None:
    """Prompts and answers of tenants that have them stored: sealed by the gateways, which cannot
    read them; opened by two of custody's three shares.

    REQUEST_ID is the ledger's id of a request: what the gateway answers as X-Request-Id, unless
    the client sent one of its own.
    """


@prompts.command()
@pass_app
def status(app: App) -> None:
    """Every tenant: whether its prompts are stored, for how long, and how many are."""
    found = asyncio.run(prompts_work.standing(app.parts.reach_custody(app)))
    if app.json:
        app.output.data([each.__dict__ for each in found])
        return
    app.output.table(
        ("tenant", "stored", "days", "key", "kept now", "oldest"),
        [
            (
                each.tenant,
                "yes" if each.kept else "no",
                str(each.days),
                f"epoch {each.epoch}" if each.epoch and each.published else "none",
                str(each.count),
                age(each.oldest, app.now()) if each.oldest else "",
            )
            for each in found
        ],
    )


@prompts.command()
@click.argument("tenant")
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=30, show_default=True,
    help="After so many days what was kept is erased.",
)  # fmt: skip
@with_shares
@pass_app
def on(
    app: App,
    tenant: str,
    days: int,
    cards_given: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
) -> None:
    """Store prompts and answers of TENANT from now on; gateways follow within a second.

    Custody must have a data key for them: fedctl custody init --class prompts. Given again, it
    changes the days. Two shares are needed only if the key is older than this command, or another
    authority signs now (fedctl secrets rotate authority-key).
    """
    access = app.parts.reach_custody(app)
    given = given_by(access, cards_given, asked, guardian, f"prompts on {tenant}"[:80], tenant)
    with working(app, "prompts on", tenant[:200]) as work:
        published = asyncio.run(prompts_work.turn_on(access, tenant, days, given))
        work.facts |= {"tenant": tenant, "days": days, "published": published}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
            return
        app.output.say(f"{tenant}: prompts and answers are stored, sealed, for {days} days")


@prompts.command()
@click.argument("tenant")
@pass_app
def off(app: App, tenant: str) -> None:
    """Store nothing more of TENANT; what is there stays until its days are over."""
    access = app.parts.reach_custody(app)
    with working(app, "prompts off", tenant[:200]) as work:
        left = asyncio.run(prompts_work.turn_off(access, tenant))
        work.facts |= {"tenant": tenant, "kept": left.count}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
            return
        app.output.say(f"{tenant}: nothing more is stored; {left.count} are, for {left.days} days")


@prompts.command()
@request_argument
@with_shares
@pass_app
def show(
    app: App,
    request: UUID,
    cards_given: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
) -> None:
    """What was kept of a request: its body, then what its client was sent.

    By two shares. That you opened it is in the log before you see it.
    """
    access = app.parts.reach_custody(app)
    given = given_by(
        access, cards_given, asked, guardian, f"prompts show {request}", DEFAULT_TENANT
    )
    found = asyncio.run(prompts_work.show(access, request, given))
    body, answer = (part.decode(errors="replace") for part in (found.body, found.answer))
    if app.json:
        app.output.data({"request": str(request), "body": body, "answer": answer})
        return
    app.output.text(harmless(body))
    app.output.text(harmless(answer))


@prompts.command()
@request_argument
@click.option("--reason", required=True, help="Why, for the log.")
@pass_app
def erase(app: App, request: UUID, reason: str) -> None:
    """Erase what was kept of a request, for good; the log says that, and verifies as before."""
    access = app.parts.reach_custody(app)
    app.confirm(f"Erase what was kept of request {request} for good?")
    with working(app, "prompts erase", str(request)) as work:
        new = asyncio.run(prompts_work.erase(access, request, reason))
        work.facts |= {"request": str(request), "erased": new}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
            return
        app.output.say("erased" if new else "it was erased before")
