"""Cards: a share on paper or in a file, written once, read back, and known by its mark."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from fedctl.errors import WrongCard
from ledger.custody import ShareRecord, share_tenant
from trust import files
from trust.errors import ShareUnreadable
from trust.printed import LINES, card, read_card
from trust.shares import HOLDERS, Holder, Share

MAX_BYTES = 4096


@dataclass(frozen=True)
class Cards:
    """A folder for cards: one file a share, readable by its owner only, never written over."""

    folder: Path
    federation: str

    def path(self, holder: Holder, tenant: str) -> Path:
        """Where the card of this share is."""
        owner = share_tenant(holder, tenant)
        return self.folder / (f"{holder}-{owner}.txt" if owner else f"{holder}.txt")

    def read(self, holder: Holder, tenant: str) -> Share | None:
        """The card that lies there from an earlier run, or None."""
        path = self.path(holder, tenant)
        return read(path) if os.path.lexists(path) else None

    def write(self, share: Share, tenant: str, now: datetime) -> Path:
        """Write a card and read it back; raises WrongCard when there is another one."""
        path = self.path(share.holder, tenant)
        present = self.read(share.holder, tenant)
        if present is not None and present != share:
            raise WrongCard(f"{path} is another share's card", "name an empty folder with --cards")
        if present is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = share_tenant(share.holder, tenant)
            text = card(share, self.federation, owner, f"{now:%Y-%m-%d}")
            files.write(path, text.encode(), 0o600)
        if read(path) != share:
            raise WrongCard(f"{path} does not read back as what was written")
        return path


def read(path: Path) -> Share:
    """The share on the card in a file; raises WrongCard."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode()
        return read_card(text)
    except (ShareUnreadable, UnicodeDecodeError) as error:
        raise WrongCard(f"{path}: {error}", "read that line again from the card") from error
    except OSError as error:
        raise WrongCard(f"{path}: {error.strerror}") from error


def typed(holder: Holder) -> Share:
    """The share that a person types in, line by line; a wrong line is asked for again."""
    lines: list[str] = []
    while len(lines) < LINES:
        number = len(lines) + 1
        text = click.prompt(f"{holder}, line {number} of {LINES}", err=True, hide_input=True)
        try:
            return read_card("\n".join([*lines, text]))
        except ShareUnreadable as error:
            # With the lines so far, only a missing one further down means that this one is right.
            if error.line > number:
                lines.append(text)
            else:
                click.echo(f"{error}; read it again", err=True)
    raise WrongCard(f"no share of the {holder} was typed")


def by_holder(shares: Iterable[Share]) -> dict[Holder, Share]:
    """One share a holder; raises WrongCard for two of one."""
    found: dict[Holder, Share] = {}
    for share in shares:
        if found.setdefault(share.holder, share) != share:
            raise WrongCard(f"two different cards of the {share.holder} were given")
    return found


def record_of(records: Sequence[ShareRecord], holder: Holder, tenant: str) -> ShareRecord | None:
    """What is on record of this holder's share, if it has one."""
    owner = share_tenant(holder, tenant)
    return next((each for each in records if (each.holder, each.tenant) == (holder, owner)), None)


def checked(share: Share, records: Sequence[ShareRecord], tenant: str) -> Share:
    """The share, if it is the one on record; raises WrongCard and says which that is."""
    record = record_of(records, share.holder, tenant)
    if record is not None and record.mark != share.mark():
        raise WrongCard(
            f"this card of the {share.holder} has the mark {share.mark().hex()}; on record is "
            f"{record.mark.hex()}, number {record.version}, made {record.made_at:%Y-%m-%d} by "
            f"{record.made_by}",
            "look for the newer card: an older one opens nothing that is stored now",
        )
    return share


def missing(holders: Iterable[Holder]) -> tuple[Holder, ...]:
    """The holders that are not among these, in their order."""
    there = set(holders)
    return tuple(holder for holder in HOLDERS if holder not in there)
