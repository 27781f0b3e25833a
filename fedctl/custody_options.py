"""The options by which a command is given shares: cards, typed in, or the guardian asked."""

from pathlib import Path
from typing import Any

import click

from fedctl import custody_cards
from fedctl.custody_access import CustodyAccess
from fedctl.custody_lab import at_hand
from fedctl.errors import WrongCard
from ledger.keys import DEFAULT_TENANT
from trust.shares import Holder, Keeper, Share

CARD = click.Path(exists=True, dir_okay=False, path_type=Path)
share_option = click.option(
    "--share", "cards_given", multiple=True, type=CARD, metavar="FILE",
    help="A card with a share. Once for each.",
)  # fmt: skip
ask_option = click.option(
    "--ask", "asked", multiple=True, type=click.Choice([holder.value for holder in Holder]),
    help="Type this holder's share in, line by line.",
)  # fmt: skip
guardian_option = click.option(
    "--guardian", metavar="ADDRESS[:PORT]", help="Ask the guardian there, instead of its card."
)
cards_option = click.option(
    "--cards", "folder", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder for new cards: memory or a stick that you take away, not this disk.",
)  # fmt: skip
tenant_option = click.option(
    "--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose data keys."
)


def with_shares(command: Any) -> Any:
    """Give a command `cards_given`, `asked` and `guardian`, in the order of `given_by`."""
    for option in (guardian_option, ask_option, share_option):
        command = option(command)
    return command


def given_by(
    access: CustodyAccess,
    files: tuple[Path, ...],
    asked: tuple[str, ...],
    guardian: str | None,
    purpose: str,
    tenant: str | None = None,
) -> dict[Holder, Keeper]:
    """One keeper a holder; raises WrongCard. When none is named, those that a lab's store has for
    the keys of `tenant`.
    """
    if tenant is not None and not (files or asked or guardian):
        return dict(at_hand(access, tenant))
    shares = [*map(custody_cards.read, files), *map(typed, asked)]
    found: dict[Holder, Keeper] = dict(custody_cards.by_holder(shares))
    for keeper in remote(access, guardian, purpose):
        if keeper.holder in found:
            raise WrongCard("the guardian's card was given, and --guardian as well")
        found[keeper.holder] = keeper
    return found


def remote(access: CustodyAccess, place: str | None, purpose: str) -> list[Keeper]:
    """The guardian at `place`, asked for `purpose`; none without a place."""
    return [] if place is None else [access.guardian(place, f"custody {purpose}")]


def typed(holder: str) -> Share:
    """The share that a person types in; raises WrongCard for another holder's."""
    share = custody_cards.typed(Holder(holder))
    if share.holder is not Holder(holder):
        raise WrongCard(f"that is the share of the {share.holder}, not of the {holder}")
    return share
