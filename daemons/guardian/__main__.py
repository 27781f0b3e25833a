"""`python -m daemons.guardian --config /etc/federation/guardian.toml`."""

import argparse
import asyncio
import logging
import ssl
import sys
from pathlib import Path

from daemons.guardian.main import run
from daemons.guardian.settings import GuardianSettings
from inventory.config import ConfigError
from trust.errors import CustodyError
from trust.memory import no_core_dumps

DEFAULT_CONFIG = Path("/etc/federation/guardian.toml")
# The unit does not restart after this: a share that is unreadable now is unreadable in two seconds.
BAD_CONFIGURATION = 78


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; what keeps it from running goes to the journal in one line."""
    parser = argparse.ArgumentParser(prog="daemons.guardian", description=__doc__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    no_core_dumps()
    try:
        settings = GuardianSettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        asyncio.run(run(settings))
    except (ConfigError, CustodyError, ValueError) as error:
        sys.stderr.write(f"federation-guardian: {error}\n")
        return BAD_CONFIGURATION
    except (OSError, ssl.SSLError) as error:
        sys.stderr.write(f"federation-guardian: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
