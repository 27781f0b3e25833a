"""The restores that were made from here, as the operator's home remembers them.

Only what is recorded here may be accepted later on behalf of the witnesses: a log that became
shorter without a restore of ours is an attack or a disaster, and no command explains it away.
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from fedctl.errors import FedctlError
from inventory.home import Home
from ledger.given_up import Extent

MOST = 1000


@dataclass(frozen=True)
class Restore:
    """One restore: its run, when (ISO 8601), what was asked for, and the log it brought back."""

    run: str
    time: str
    target: str
    backup: str
    size: int
    root: str

    @property
    def kept(self) -> Extent:
        """How far the log is the one from before."""
        return Extent(self.size, bytes.fromhex(self.root))


class Restores:
    """The list, oldest first."""

    def __init__(self, home: Home) -> None:
        self._path = home.root / "restores.json"

    def all(self) -> list[Restore]:
        """Every restore; raises FedctlError for a file that is damaged."""
        try:
            values = json.loads(self._path.read_text())
            if not isinstance(values, list):
                raise TypeError("not a list")
            found = [Restore(**item) for item in values]
            for each in found:
                Extent.of(asdict(each))
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as error:
            raise FedctlError(f"{self._path} is damaged: {error}", "look at it") from error
        return found

    @property
    def newest(self) -> Restore | None:
        """The last one."""
        found = self.all()
        return found[-1] if found else None

    def add(self, restore: Restore) -> None:
        """Remember one; raises OSError."""
        values: list[dict[str, Any]] = [asdict(each) for each in (*self.all(), restore)][-MOST:]
        temporary = self._path.with_suffix(".new")
        with temporary.open("w") as file:
            file.write(json.dumps(values, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
