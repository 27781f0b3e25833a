"""`python -m daemons.guardian --config /etc/federation/guardian.toml`."""

import sys

from daemons.guardian.main import run
from daemons.guardian.settings import GuardianSettings
from daemons.program import Program
from inventory.config import ConfigError
from trust.errors import CustodyError
from trust.memory import no_core_dumps

PROGRAM = Program(
    "guardian", __doc__, GuardianSettings.read, run, bad=(ConfigError, CustodyError, ValueError)
)


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon, which has a share in memory."""
    no_core_dumps()
    return PROGRAM.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
