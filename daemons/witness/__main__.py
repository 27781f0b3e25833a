"""`python -m daemons.witness [serve|accept-restore] --config /etc/federation/witness.toml`."""

import argparse
import asyncio
import json
import logging
import ssl
import sys
from pathlib import Path

from daemons.program import BAD_CONFIGURATION
from daemons.witness.acceptance import MAX_BYTES, Order, Refused
from daemons.witness.main import accept_restore, run
from daemons.witness.settings import WitnessSettings
from daemons.witness.shell import InUse
from daemons.witness.state import StateInvalid
from inventory.config import ConfigError
from ledger.errors import NoteInvalid

DEFAULT_CONFIG = Path("/etc/federation/witness.toml")


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; what keeps it from running goes to the journal in one line."""
    parser = argparse.ArgumentParser(prog="daemons.witness", description=__doc__)
    parser.add_argument("command", choices=("serve", "accept-restore"), nargs="?", default="serve")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    try:
        settings = WitnessSettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        if options.command == "accept-restore":
            order = Order.parse(sys.stdin.read(MAX_BYTES))
            sys.stdout.write(json.dumps(accept_restore(settings, order)) + "\n")
        else:
            asyncio.run(run(settings))
    except (InUse, Refused) as error:
        sys.stderr.write(f"federation-witness: {error}\n")
        return 1
    except (ConfigError, StateInvalid, NoteInvalid, ValueError) as error:
        sys.stderr.write(f"federation-witness: {error}\n")
        return BAD_CONFIGURATION
    except (OSError, ssl.SSLError) as error:
        sys.stderr.write(f"federation-witness: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
