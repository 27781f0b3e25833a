"""The live ledger as a repository's node reaches it, and what it is told of backups.

An event that nobody took is kept beside the repository and sent by the next job, under the same id,
so that it is there once: a backup made while no database answers is told of a quarter of an hour
later.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemons.backup.settings import LiveSettings
from daemons.backup.shell import put
from inventory.config import resolve
from ledger.append import append
from ledger.connect import Settings
from ledger.errors import EventInvalid, LedgerError
from ledger.event import Event
from ledger.identifiers import Sequence

LOG = logging.getLogger(__name__)
IDS = Sequence()
DATABASE_ROLE = "fed_backup"
UNTOLD = "untold"
GIVE_UP_SECONDS = 20.0


def reached(settings: LiveSettings, environment: Mapping[str, str], name: str) -> Settings:
    """How to connect, as `name`; raises ConfigError."""
    return Settings(
        hosts=settings.hosts,
        addresses=settings.addresses,
        port=settings.port,
        user=DATABASE_ROLE,
        sslcert=settings.certificate_path,
        sslkey=resolve(settings.key_path, environment),
        sslrootcert=settings.ca_path,
        application_name=name,
    )


def event_now(node: str, actor: str, kind: str, subject: str, data: Mapping[str, Any]) -> Event:
    """An event that happens now."""
    return Event(
        id=IDS.next(),
        time=datetime.now(UTC),
        node=node,
        actor=actor,
        kind=kind,
        subject=subject,
        data=data,
    )


class Teller:
    """Tells the ledger, now or later; `folder` keeps what it has not been told."""

    def __init__(self, live: Settings, folder: Path) -> None:
        self._live, self._folder = live, folder / UNTOLD

    def tell(self, event: Event) -> None:
        """Keep the event until the ledger has it; raises OSError when it cannot be kept."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        put(self._folder / f"{event.id}.json", event.canonical().decode(), 0o600)
        self.send()

    def send(self) -> int:
        """Send what is kept, oldest first; how many the ledger still does not have."""
        waiting = sorted(self._folder.glob("*.json"))
        for number, path in enumerate(waiting):
            try:
                event = Event.parse(path.read_bytes())
                asyncio.run(append(self._live, [event], give_up_seconds=GIVE_UP_SECONDS))
            except EventInvalid as error:
                LOG.error("%s is no event and is dropped: %s", path, error)
            except LedgerError as error:
                LOG.warning("the ledger was not told yet: %s", error)
                return len(waiting) - number
            path.unlink(missing_ok=True)
        return 0
