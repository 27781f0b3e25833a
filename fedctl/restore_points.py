"""Named restore points, as the operator's home remembers them."""

import json

from fedctl.errors import FedctlError
from inventory.home import Home


class Points:
    """Points by name; of each its `time` (ISO 8601) and its `lsn`."""

    def __init__(self, home: Home) -> None:
        self._path = home.root / "restore-points.json"

    def all(self) -> dict[str, dict[str, str]]:
        """Every point ever made here."""
        try:
            found = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise FedctlError(f"{self._path} is not JSON: {error}", "move it away") from error
        return dict(found)

    def add(self, name: str, made: dict[str, str]) -> None:
        """Remember a point."""
        points = {**self.all(), name: made}
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(points, indent=1) + "\n")
        temporary.replace(self._path)
