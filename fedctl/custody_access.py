"""How this operator reaches what custody needs: the ledger, the guardian, and what backups hold."""

import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploys.authority import client_pair, open_authority
from deploys.own_secrets import guardian_share, keep_guardian_share, operator_signing
from deploys.pgbackrest import repositories
from fedctl import backups
from fedctl.errors import FedctlError
from fedctl.guardian_client import RemoteGuardian
from fedctl.ledger_client import OPERATOR, Ledger
from fedctl.remote import Links
from fedctl.restore_target import Held
from fedctl.work import actor
from inventory.home import Home
from ledger.connect import Settings
from ledger.custody import By
from ledger.custody_rotation import NO_BACKUP
from trust.authority import Authority
from trust.callers import Signer
from trust.datakeys import DataKey
from trust.errors import SealingKeyRefused
from trust.sealing import sealing_key, vouched
from trust.shares import Share
from trust.signing import pem
from trust.tls import client_context

if TYPE_CHECKING:
    from fedctl.app import App


@dataclass(frozen=True)
class CustodyAccess:
    """The ledger, our certificate, and how to learn when the oldest backup began.

    `oldest_backup` gives None when not every repository answers, NO_BACKUP when there is none;
    `issuer` is the federation's authority.
    """

    settings: Settings
    authority: Path
    certificate: Path
    key: Path
    by: By
    home: Home
    guardian_port: int
    oldest_backup: Callable[[], datetime | None]
    issuer: Callable[[], Authority]

    def own_guardian(self) -> Share:
        """The guardian's share as the operator keeps it for the guardian's node; made if need be.

        Raises StoreError, ShareUnreadable.
        """
        return guardian_share(self.home)

    def keep_guardian(self, share: Share) -> None:
        """Keep the guardian's new share: the next apply gives it to its node."""
        keep_guardian_share(self.home, share)

    def vouch(self, key: DataKey) -> bytes:
        """The public half of a data key, signed: for gateways to seal to."""
        return vouched(key, self.issuer())

    def vouches(self, blob: bytes | None, key_id: str) -> bool:
        """Whether this is such a public half, signed by the authority that signs now."""
        try:
            sealing_key(blob or b"", key_id, pem(self.issuer().certificate))
        except SealingKeyRefused:
            return False
        return True

    def guardian(self, place: str, purpose: str) -> RemoteGuardian:
        """The guardian at `place` (ADDRESS or ADDRESS:PORT); raises FedctlError."""
        address, _, port = place.partition(":")
        if not address or not (port or "0").isdigit() or int(port or 0) > 65535:
            raise FedctlError(f"{place!r} is no place", "write it as ADDRESS or ADDRESS:PORT")
        context = client_context(self.authority, self.certificate, self.key)
        signer = Signer(
            OPERATOR, operator_signing(self.home), lambda: secrets.token_hex(16), self.by.now
        )
        return RemoteGuardian(address, int(port or self.guardian_port), context, purpose, signer)


def reach(app: "App") -> CustodyAccess:
    """Raises AuthorityMissing, Unavailable."""
    key, certificate = client_pair(app.home, OPERATOR, app.now())
    return CustodyAccess(
        settings=Ledger(app.federation, app.home, app.now).settings(),
        authority=app.home.authority / "ca.pem",
        certificate=certificate,
        key=key,
        by=By(actor(), socket.gethostname(), app.now),
        home=app.home,
        guardian_port=app.federation.ports.guardian,
        oldest_backup=lambda: oldest_backup(app),
        issuer=lambda: open_authority(app.home),
    )


def oldest_backup(app: "App") -> datetime | None:
    """When the oldest backup began that any repository holds; None unless all of them answer."""
    if not repositories(app.federation):
        return NO_BACKUP
    nodes = backups.keepers(app)
    with Links(app.parts.connect, app.federation, app.home) as links:
        held = links.ask(nodes, backups.held)
    return oldest_of(held) if len(held) == len(nodes) else None


def oldest_of(held: Mapping[str, Held]) -> datetime:
    """When the oldest of these backups began."""
    return min((b.started for each in held.values() for b in each.backups), default=NO_BACKUP)
