"""`custody recover|drill`: replace a share that was lost, and rehearse it."""

import asyncio
from pathlib import Path

import click

from fedctl import custody_cards, custody_loss
from fedctl.app import App, FedCommand, pass_app
from fedctl.custody_cards import Cards
from fedctl.custody_options import (
    cards_option,
    given_by,
    remote,
    tenant_option,
    typed,
    with_shares,
)
from fedctl.work import working
from ledger.custody import DRILL
from trust.shares import Holder, Keeper


@click.command(cls=FedCommand)
@click.option(
    "--lost", required=True, type=click.Choice([holder.value for holder in Holder]),
    help="Whose share is gone.",
)  # fmt: skip
@click.option("--tenant", help="Whose client lost it (only with --lost client).")
@cards_option
@with_shares
@pass_app
def recover(
    app: App,
    lost: str,
    tenant: str | None,
    folder: Path,
    cards_given: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
) -> None:
    """Replace a lost share, by the other two; what was lost opens nothing that is stored then.

    Cut off anywhere, the same command with the same folder goes on. After a theft, rotate the keys
    as well: the thief may find a second share, and an old copy of a key.
    """
    holder = Holder(lost)
    if (holder is Holder.CLIENT) != (tenant is not None):
        raise click.UsageError("--tenant goes with --lost client, and only with it")
    access = app.parts.reach_custody(app)
    several = [*map(custody_cards.read, cards_given), *map(typed, asked)]
    keepers: list[Keeper] = [*several, *remote(access, guardian, f"recover {lost}")]
    app.confirm(f"Replace the share of the {lost} for good?")
    with working(app, "custody recover", lost) as work:
        path, done = asyncio.run(
            custody_loss.recover(
                access, holder, tenant, keepers, Cards(folder, app.federation.name), work.note
            )
        )
        work.facts |= {"lost": lost, "tenant": tenant, "keys": done, "card": path.name}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts, "folder": folder})
            return
        app.output.say(f"{len(done)} keys are wrapped for the new share; its card: {path}")
        app.output.warn(
            "print it, have it read back, give it to its holder, and wipe the file; an older copy "
            "of the database still opens with the lost share and one more"
        )


@click.command(cls=FedCommand)
@tenant_option
@with_shares
@pass_app
def drill(
    app: App,
    tenant: str,
    cards_given: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
) -> None:
    """Rehearse the loss of each share, on keys made for it, and say how long it took.

    Each is made, stored, lost, replaced and opened as in earnest, and then forgotten. With cards it
    also shows that they can be read and are the ones on record; no other key is touched.
    """
    access = app.parts.reach_custody(app)
    given = given_by(access, cards_given, asked, guardian, f"{DRILL}rehearsal", tenant)
    with working(app, "custody drill", tenant) as work:
        found = asyncio.run(custody_loss.drill(access, tenant, given, work.note))
        rehearsed = [
            {"lost": each.lost.value, "seconds": round(each.seconds, 3), "pairs": each.opened}
            for each in found
        ]
        real = [holder.value for holder in given]
        work.facts |= {"tenant": tenant, "rehearsed": rehearsed, "real": real}
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
            return
        app.output.table(
            ("lost", "back after", "pairs that open"),
            [(each.lost, f"{each.seconds * 1000:.0f} ms", str(each.opened)) for each in found],
        )
        made_up = ", ".join(custody_cards.missing(given)) or "none"
        app.output.say(f"shares made up for the drill: {made_up}")
