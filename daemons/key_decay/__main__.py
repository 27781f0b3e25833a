"""`python -m daemons.key_decay --config /etc/federation/key-decay.toml`: one run, then it ends."""

import argparse
import asyncio
import logging
import os
import ssl
import sys
from pathlib import Path

from daemons.key_decay.main import run
from daemons.key_decay.settings import KeyDecaySettings
from inventory.config import ConfigError
from ledger.errors import LedgerError
from trust.errors import TrustError

DEFAULT_CONFIG = Path("/etc/federation/key-decay.toml")


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when every key that was due is settled."""
    parser = argparse.ArgumentParser(prog="daemons.key_decay", description=__doc__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    try:
        settings = KeyDecaySettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        asyncio.run(run(settings, dict(os.environ)))
    except (ConfigError, LedgerError, TrustError, OSError, ssl.SSLError) as error:
        sys.stderr.write(f"federation-key-decay: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
