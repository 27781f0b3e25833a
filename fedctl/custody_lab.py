"""Custody as `up` leaves it: set up in a lab, and for real machines the command that people need.

A lab is one computer, with nobody to give a card to. So the shares of client and gateway lie in the
operator's store, encrypted beside the guardian's: there to be tried, drilled and rotated, and no
protection from whoever has the operator's identity. On real machines nobody but people may have
two shares, and `up` makes none.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploys.own_secrets import store_of
from deploys.secret_catalog import lab_card
from fedctl import custody_work
from fedctl.app import App
from fedctl.custody_access import CustodyAccess
from fedctl.errors import WrongCard
from inventory.home import Home
from inventory.model import Role
from ledger import prompts
from ledger.custody import CONTENT, share_tenant
from ledger.keys import DEFAULT_TENANT
from trust.printed import printed, read_card
from trust.shares import Holder, Share

CLASSES = (CONTENT, prompts.CLASS)
BY_HAND = "fedctl custody init --cards FOLDER (docs/how-to/custody.md)"


@dataclass(frozen=True)
class StoredCards:
    """The shares of a lab, in place of cards on paper: see `custody_cards.Cards`."""

    home: Home

    def path(self, holder: Holder, tenant: str) -> Path:
        """Where the share is, encrypted."""
        return store_of(self.home).path(lab_card(holder, share_tenant(holder, tenant)))

    def read(self, holder: Holder, tenant: str) -> Share | None:
        """The share, if the store has it; raises StoreError, ShareUnreadable."""
        name = lab_card(holder, share_tenant(holder, tenant))
        found = store_of(self.home).find(name, check=read_card)
        return None if found is None else read_card(found.text)

    def write(self, share: Share, tenant: str, now: datetime) -> Path:  # noqa: ARG002 - Cards'
        """Keep a share; raises WrongCard when there is another one."""
        present = self.read(share.holder, tenant)
        path = self.path(share.holder, tenant)
        if present is None:
            name = lab_card(share.holder, share_tenant(share.holder, tenant))
            store_of(self.home).put(name, printed(share) + "\n")
        elif present != share:
            raise WrongCard(f"{path} is another share", "fedctl custody status says which counts")
        return path


def at_hand(access: CustodyAccess, tenant: str) -> Mapping[Holder, Share]:
    """The shares for this tenant's keys that a lab's store has; none elsewhere.

    Raises StoreError, ShareUnreadable.
    """
    cards = StoredCards(access.home)
    gateway, client = (cards.read(each, tenant) for each in (Holder.GATEWAY, Holder.CLIENT))
    if gateway is None:
        return {}
    found = {Holder.GATEWAY: gateway, Holder.GUARDIAN: access.own_guardian()}
    return found if client is None else {**found, Holder.CLIENT: client}


def set_up(app: App) -> str:
    """What there is of custody, made first in a lab; one line for a person, "" without a ledger.

    Raises FedctlError, LedgerError, StoreError. Again, it changes nothing.
    """
    if not app.federation.with_role(Role.DATA):
        return ""
    access = app.parts.reach_custody(app)
    found = asyncio.run(custody_work.overview(access, None))
    kept = {key.object_class for key in found.keys if key.tenant == DEFAULT_TENANT}
    if app.federation.kind != "lab" or kept >= set(CLASSES):
        return ", ".join(key.key_id for key in found.keys) or f"no data key yet: {BY_HAND}"
    cards = StoredCards(app.home)
    if found.shares and cards.read(Holder.GATEWAY, DEFAULT_TENANT) is None:
        # People have begun it, with cards of their own.
        return f"begun by hand, and not whole: {BY_HAND}"
    _, made = asyncio.run(custody_work.init(access, DEFAULT_TENANT, CLASSES, {}, cards))
    return f"{', '.join(made)} made, and opened by each pair of shares"
